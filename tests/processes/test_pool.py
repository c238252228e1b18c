"""The host of children while nobody needs it: how it ends, and that no order is lost by that."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import skops.io
from sklearn.neighbors import KNeighborsClassifier

from service.common.domain import DataSets
from service.common.settings import Settings
from service.processes.job import WorkerProcess
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.processes.remote_classifier import RemoteClassifier
from service.training.uploads import Uploads
from tests.support.fakes import FakeRegistry
from tests.support.pipelines import fit, iris
from tests.support.server import settings_for
from tests.support.waiting import wait_until

# Takes every order, and says at once that its child has come and gone; has nothing to import.
_FAKE_HOST = """
import json, os, socket
orders = socket.socket(fileno=0)
while data := orders.recv(65536):
    for told in ({"pid": 0}, {"status": 0}):
        line = json.dumps({"id": json.loads(data)["id"], **told}) + "\\n"
        os.write(1, line.encode())
"""


class QuickChildren(WorkerPool):
    """Has hosts that start in a moment, and counts them."""

    command = (sys.executable, "-S", "-c", _FAKE_HOST)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "result.json").write_bytes(b"{}")
    return tmp_path


@pytest.fixture
def hosts(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Nothing that happens to a host here is an error."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def status_of(workers: WorkerPool, folder: Path) -> tuple[int, int]:
    """Start a job; give the process id of its host and how the job ended."""
    job = workers.start("any", folder, {}, JobLimits(seconds=60, memory_bytes=2**32))
    return job.host, job.status.result(timeout=30)


def host_of(workers: WorkerPool) -> subprocess.Popen[bytes]:
    assert workers._host is not None
    return workers._host


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.usefixtures("hosts")
def test_a_host_without_children_ends_after_a_while_and_leaves_no_process(folder: Path) -> None:
    workers = QuickChildren(idle_seconds=0.01)

    host, status = status_of(workers, folder)

    assert status == 0
    wait_until(lambda: is_gone(host))  # not even as a zombie
    workers.close()


@pytest.mark.usefixtures("hosts")
def test_the_next_order_after_that_gets_another_host(folder: Path) -> None:
    workers = QuickChildren(idle_seconds=0.01)
    first, _ = status_of(workers, folder)
    wait_until(lambda: is_gone(first))

    second, status = status_of(workers, folder)

    assert status == 0
    assert second != first
    workers.close()


@pytest.mark.usefixtures("hosts")
def test_a_host_that_nobody_ever_asked_ends_too() -> None:
    workers = QuickChildren(idle_seconds=0.01)
    workers.warm()
    host = host_of(workers).pid

    wait_until(lambda: is_gone(host))
    workers.close()


def test_without_a_limit_it_stays(folder: Path) -> None:
    workers = QuickChildren(idle_seconds=0)

    hosts = {status_of(workers, folder)[0] for _ in range(3)}

    assert len(hosts) == 1
    assert workers._idle_left(host_of(workers)) is None
    workers.close()


@pytest.mark.usefixtures("hosts")
def test_no_order_fails_however_close_it_comes_to_the_end_of_a_host(folder: Path) -> None:
    # So short that a host is ended whenever it has no child just now, while orders arrive.
    workers = QuickChildren(idle_seconds=1e-9)
    folders = [folder / str(index) for index in range(3)]
    for each in folders:
        each.mkdir()

    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(lambda i: status_of(workers, folders[i % 3]), range(60)))

    assert {status for _, status in ends} == {0}
    assert len({host for host, _ in ends}) > 1
    workers.close()


@pytest.mark.usefixtures("hosts")
def test_an_order_that_comes_when_the_time_is_up_keeps_the_host(folder: Path) -> None:
    workers = QuickChildren(idle_seconds=3600)
    status_of(workers, folder)
    host = host_of(workers)
    workers._children[0] = WorkerProcess(0, host.pid)
    workers.idle_seconds = 1e-9

    assert not workers._end_idle(host)
    del workers._children[0]
    assert workers._end_idle(host)
    assert is_gone(host.pid)
    workers.close()


def test_a_native_model_in_use_keeps_it_alive() -> None:
    data, names = iris(), iris().names
    stored = bytes(skops.io.dumps(fit(data, KNeighborsClassifier())))
    workers = WorkerPool(idle_seconds=0.01)
    classifier = RemoteClassifier(workers, "near version 1", lambda: stored, names)
    host = host_of(workers)

    assert workers._idle_left(host) is None
    assert not workers._end_idle(host)
    assert len(classifier.labels(data.frame.to_numpy()[:2])) == 2

    del classifier
    wait_until(lambda: is_gone(host.pid))
    workers.close()


def test_a_body_that_begins_to_arrive_starts_the_host_ahead_of_its_order(tmp_path: Path) -> None:
    workers = QuickChildren()
    settings: Settings = settings_for(tmp_path)
    data_sets: DataSets = FakeRegistry(tmp_path)

    Uploads(data_sets, workers, tmp_path / "work", settings).open()

    assert workers._host is not None
    workers.close()
