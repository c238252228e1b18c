"""An idle worker host ends, and no job is lost by that."""

import fcntl
import logging
import os
import sys
import termios
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import skops.io
from sklearn.neighbors import KNeighborsClassifier

from service.common.ports import DataSets
from service.common.settings import Settings
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.processes.remote_classifier import RemoteClassifier
from service.training.uploads import Uploads
from tests.support.fakes import FakeRegistry
from tests.support.pipelines import fit, iris
from tests.support.server import settings_for
from tests.support.waiting import wait_until

# Accepts every message, and reports at once that its worker has ended; imports nothing.
_FAKE_HOST = """
import json, socket
service = socket.socket(fileno=0)
for line in service.makefile():
    start = json.loads(line)
    if "worker" in start:
        done = {"type": "FromWorker", "worker": start["worker"], "message": {"type": "Done"}}
        service.sendall(json.dumps(done).encode() + b"\\n")
"""


class QuickWorkers(WorkerPool):
    """Workers whose hosts start quickly."""

    command = (sys.executable, "-S", "-c", _FAKE_HOST)


@pytest.fixture
def hosts(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Check after a test that no warning or error was logged."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def host_of_a_job(workers: WorkerPool, folder: Path) -> int:
    """Run a job; return the process id of its host."""
    job = workers.start("any", folder, {}, JobLimits(seconds=60, memory_bytes=2**32))
    assert job.wait(30) is None
    return job.host


def host_of(workers: WorkerPool) -> int:
    assert workers.host is not None
    return workers.host


def is_read(pipe: int) -> bool:
    """Return whether nothing is left to read in a pipe."""
    left = array("i", [1])
    fcntl.ioctl(pipe, termios.FIONREAD, left)
    return left[0] == 0


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("hosts")
def test_a_host_without_workers_ends_after_a_while_and_leaves_no_process(tmp_path: Path) -> None:
    workers = QuickWorkers(idle_seconds=0.01)

    host = host_of_a_job(workers, tmp_path)

    wait_until(lambda: is_gone(host))  # not even as a zombie
    workers.close()


@pytest.mark.usefixtures("hosts")
def test_the_next_job_after_that_gets_another_host(tmp_path: Path) -> None:
    workers = QuickWorkers(idle_seconds=0.01)
    first = host_of_a_job(workers, tmp_path)
    wait_until(lambda: is_gone(first))

    assert host_of_a_job(workers, tmp_path) != first
    workers.close()


@pytest.mark.usefixtures("hosts")
def test_a_host_that_never_got_a_job_ends_too() -> None:
    workers = QuickWorkers(idle_seconds=0.01)
    workers.warm()
    host = host_of(workers)

    wait_until(lambda: is_gone(host))
    workers.close()


def test_without_an_idle_limit_a_host_stays(tmp_path: Path) -> None:
    workers = QuickWorkers(idle_seconds=0)

    hosts = {host_of_a_job(workers, tmp_path) for _ in range(3)}

    assert len(hosts) == 1
    assert workers.host in hosts
    workers.close()


@pytest.mark.usefixtures("hosts")
def test_no_job_fails_however_close_it_comes_to_the_end_of_a_host(tmp_path: Path) -> None:
    # So short that a host ends whenever it has no worker at the moment, while jobs arrive.
    workers = QuickWorkers(idle_seconds=1e-9)

    with ThreadPoolExecutor(3) as pool:
        hosts = list(pool.map(lambda _: host_of_a_job(workers, tmp_path), range(60)))

    wait_until(lambda: host_of_a_job(workers, tmp_path) != hosts[0])
    workers.close()


def test_a_host_whose_job_goes_on_is_not_ended_as_idle(tmp_path: Path) -> None:
    workers = WorkerPool(idle_seconds=0.01)
    os.mkfifo(tmp_path / "rows")  # Reading it blocks the job until the test closes it.
    rows = os.open(tmp_path / "rows", os.O_RDWR)
    spec: dict[str, object] = {"name": "d", "target": None, "media": "json", "options": {}}
    limits = JobLimits(seconds=60, memory_bytes=2**32)
    spec |= {"max_depth": 9, "max_rows": 9, "max_columns": 9}
    job = workers.start("data_set", tmp_path, spec, limits)

    os.write(rows, b'{"records": [{"x": 1}]}')
    wait_until(lambda: is_read(rows))
    os.close(rows)

    summary = job.wait(30)
    assert isinstance(summary, dict)
    assert summary["rows"] == 1
    wait_until(lambda: is_gone(job.host))
    workers.close()


@pytest.mark.slow
def test_a_native_model_in_use_keeps_the_host_alive() -> None:
    data, names = iris(), iris().names
    stored = bytes(skops.io.dumps(fit(data, KNeighborsClassifier())))
    workers = WorkerPool(idle_seconds=0.01)
    classifier = RemoteClassifier(workers, "near version 1", lambda: stored, names)
    host = host_of(workers)

    for _ in range(20):
        assert len(classifier.labels(data.frame.to_numpy()[:2])) == 2
    assert workers.host == host

    del classifier
    wait_until(lambda: is_gone(host))
    workers.close()


def test_a_body_that_begins_to_arrive_starts_the_host_ahead_of_its_job(tmp_path: Path) -> None:
    workers = QuickWorkers()
    settings: Settings = settings_for(tmp_path)
    data_sets: DataSets = FakeRegistry(tmp_path)

    limits = JobLimits(seconds=60, memory_bytes=2**32)
    Uploads(data_sets, workers, tmp_path / "work", settings, limits).open()

    assert workers.host is not None
    workers.close()
