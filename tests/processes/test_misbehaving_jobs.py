"""Jobs that eat memory, fork, spin, hide, fill the disk: each ends, with all that it started."""

import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.common.errors import JobFailed, JobStopped, WorkersUnavailable
from service.processes.job import Job
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from tests.support.fakes import FakeRegistry
from tests.support.server import ENDLESS, serve, settings_for
from tests.support.waiting import wait_until

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
LIMITS = JobLimits(seconds=60, memory_bytes=2**29, disk_bytes=64 * 2**20)


class MisbehavingChildren(WorkerPool):
    """Has hosts whose jobs are those of `misbehaving`, and knows all their processes."""

    def __init__(self) -> None:
        super().__init__()
        self._sign = f"MISBEHAVING={uuid.uuid4().hex}"
        self.command = ("env", self._sign, sys.executable, "-m", "tests.support.misbehaving")

    def processes(self) -> set[int]:
        """Give the hosts and all that descends from them, wherever it is now."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if self._sign.encode() in path.read_bytes().split(b"\0"):
                    found.add(int(path.parent.name))
        return found

    @property
    def host(self) -> int:
        """The process id of the host that takes orders now."""
        assert self._host is not None
        return self._host.pid


@pytest.fixture(scope="module")
def workers() -> Iterator[MisbehavingChildren]:
    workers = MisbehavingChildren()
    yield workers
    workers.close()
    wait_until(lambda: not workers.processes())


@pytest.fixture
def start(workers: MisbehavingChildren, tmp_path: Path) -> Iterator[Any]:
    """Start a misbehaviour. After the test no process of it is left, and the host works."""

    def start(kind: str, limits: JobLimits = LIMITS, **order: object) -> Job:
        return workers.start(kind, tmp_path, order, limits)

    yield start
    wait_until(lambda: workers.processes() <= {workers.host}, seconds=20)
    (tmp_path / "next").mkdir()
    job = workers.start("behaves", tmp_path / "next", {"works": True}, LIMITS)
    assert job.wait(60) == {"works": True}


def failure(job: Job) -> str:
    """Give why a job failed, which is soon."""
    with pytest.raises(JobFailed) as failed:
        job.wait(25)
    return str(failed.value)


MEMORY = "It took more memory than the limit of 512 MiB."
DISK = "It wrote more to the disk than the limit of 64 MiB."


def test_a_job_that_eats_memory_ends(start: Any) -> None:
    assert failure(start("eats_memory")) == MEMORY


def test_a_job_whose_forks_eat_memory_each_within_the_limit_ends(start: Any) -> None:
    assert failure(start("eats_memory_in_forks")) == MEMORY


@pytest.mark.parametrize("kind", ["forks", "forks_in_depth", "doubles"])
def test_a_job_that_forks_without_end_ends(start: Any, kind: str) -> None:
    assert failure(start(kind)) == "It had more processes at one time than the limit of 32."


def test_a_job_that_spins_ends_by_its_processor_time(start: Any) -> None:
    limits = JobLimits(seconds=1, memory_bytes=2**29)

    assert failure(start("spins", limits)) == "It took more processor time than the limit of 1 s."


def test_a_job_that_ignores_signals_ends_when_it_is_stopped(start: Any, tmp_path: Path) -> None:
    job = start("ignores_signals")
    wait_until((tmp_path / "ignores").exists)
    os.kill(job.pid, signal.SIGTERM)

    job.stop("It took longer than the limit of 1 s.")

    with pytest.raises(JobStopped, match=r"^It took longer than the limit of 1 s\.$"):
        job.wait(25)


def test_what_a_job_leaves_behind_in_sessions_of_their_own_goes_when_it_has_ended(
    start: Any,
) -> None:
    assert start("leaves_a_session", then="end").wait(25) == {}


def test_what_hides_by_forking_the_next_one_and_ending_goes_too(start: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    def is_left() -> bool:
        try:
            return os.read(pipe, 1) != b""
        except BlockingIOError:
            return True

    assert start("leaves_a_chain").wait(25) == {}
    wait_until(lambda: not is_left(), seconds=20)
    os.close(pipe)


def test_what_a_job_has_hidden_goes_when_it_is_stopped(start: Any, tmp_path: Path) -> None:
    job = start("leaves_a_session", then="stay")
    wait_until((tmp_path / "ready").exists)

    job.stop("It was cancelled.")

    with pytest.raises(JobStopped, match=r"^It was cancelled\.$"):
        job.wait(25)


@pytest.mark.parametrize(
    "kind",
    [
        "writes_a_large_file",
        "writes_many_files",
        "writes_temporary_files",
        "writes_deleted_files",
        "prints",
    ],
)
def test_a_job_that_fills_the_disk_ends(start: Any, kind: str) -> None:
    assert failure(start(kind)) == DISK


def test_the_log_gets_what_a_job_prints_but_only_its_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workers = MisbehavingChildren()
    order = {"text": "a word ", "times": 10_000}

    assert workers.start("says", tmp_path, order, LIMITS).wait(60) is None

    workers.close()

    said = capfd.readouterr().err
    assert said.endswith("a word ")
    assert len(said) < 20_000


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (
            signal.SIGKILL,
            "It was ended by SIGKILL, most likely because the machine has no memory left.",
        ),
        (signal.SIGSEGV, "It was ended by SIGSEGV, most likely at the limit of 512 MiB of memory."),
        (signal.SIGTERM, "It was ended by SIGTERM."),
        (signal.SIGRTMIN + 1, f"It was ended by signal {signal.SIGRTMIN + 1}."),
    ],
)
def test_a_job_that_a_signal_ends_says_which(start: Any, number: int, reason: str) -> None:
    assert failure(start("signals", to="self", signal=number)) == reason


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_that_ends_its_host_is_lost_and_the_log_tells_of_the_next_host(
    start: Any,
    caplog: pytest.LogCaptureFixture,
    number: signal.Signals,
) -> None:
    job = start("signals", to="host", signal=number)

    with pytest.raises(WorkersUnavailable):
        job.wait(25)
    again = start("behaves")

    assert again.wait(60) == {}
    assert again.host != job.host
    assert f"the host of children ended with status {-number}" in caplog.text


def test_what_a_job_has_hidden_goes_with_a_host_that_is_killed(start: Any) -> None:
    job = start("leaves_a_session", then="kill the host")

    with pytest.raises(WorkersUnavailable):
        job.wait(25)
    start("behaves").wait(60)


def test_a_host_that_a_job_has_stopped_is_replaced_when_that_job_is_over_its_time(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    job = start("signals", to="host", signal=signal.SIGSTOP)
    wait_until(lambda: "(stopped)" in Path(f"/proc/{job.host}/status").read_text())

    job.stop("It took longer than the limit of 1 s.")

    with pytest.raises(JobStopped, match=r"^It took longer than the limit of 1 s\.$"):
        job.wait(25)
    start("behaves").wait(60)
    assert "the host of children does not answer and is killed" in caplog.text


def test_predictions_go_on_while_a_training_passes_its_time(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    with serve(settings_for(tmp_path / "first"), registry) as client:
        client.train(dataset="iris", model_type="LogisticRegression")
    answers = []

    with serve(settings_for(tmp_path / "second", training_seconds=1.0), registry) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        path = f"/trainings/{client.post('/train', json=ENDLESS).json()['id']}"

        def end() -> dict[str, Any] | None:
            answers.append(client.predict(ROW).status_code)
            training: dict[str, Any] = client.get(path).json()
            return None if training["state"] in ("queued", "running") else training

        training = wait_until(end)

    assert training["state"] == "failed"
    assert training["error"] == "It took longer than the limit of 1 s."
    assert len(answers) > 10
    assert set(answers) == {200}
