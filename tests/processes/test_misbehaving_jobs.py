"""Jobs that misbehave (memory, forks, time, disk) end with all processes they started."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.common.errors import JobFailed, JobStopped, WorkerCrashed, WorkersUnavailable
from service.processes.job import Job
from service.processes.limits import JobLimits
from tests.support.misbehaving_workers import MisbehavingWorkers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LIMITS = JobLimits(seconds=60, memory_bytes=2**29, disk_bytes=64 * 2**20)


@pytest.fixture
def start(misbehaving: MisbehavingWorkers, tmp_path: Path) -> Iterator[Any]:
    """Start a misbehaving job; after the test none of its processes is left, and the host works."""

    def start(kind: str, limits: JobLimits = LIMITS, **spec: object) -> Job:
        return misbehaving.start(kind, tmp_path, spec, limits)

    yield start
    wait_until(lambda: misbehaving.processes() <= {misbehaving.host}, seconds=20)
    (tmp_path / "next").mkdir()
    job = misbehaving.start("behaves", tmp_path / "next", {"works": True}, LIMITS)
    assert job.wait(60) == {"works": True}


def failure(job: Job) -> str:
    """Return the reason when a job exceeds a limit, which it does soon."""
    with pytest.raises(JobFailed) as failed:
        job.wait(25)
    return str(failed.value)


MEMORY = "It took more memory than the limit of 512 MiB."
DISK = "It wrote more to the disk than the limit of 64 MiB."


def test_a_job_that_eats_memory_ends(start: Any) -> None:
    assert failure(start("eats_memory")) == MEMORY


def test_a_job_that_the_system_refuses_memory_exceeded_its_limit(start: Any) -> None:
    assert failure(start("maps_memory")) == MEMORY


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
    os.kill(int((tmp_path / "ignores").read_text()), signal.SIGTERM)

    job.stop("It took longer than the limit of 1 s.")

    with pytest.raises(JobStopped, match=r"^It took longer than the limit of 1 s\.$"):
        job.wait(25)


def test_processes_that_a_job_leaves_in_other_sessions_end_when_it_ends(
    start: Any,
) -> None:
    assert start("leaves_a_session", then="end").wait(25) == {}


def test_a_chain_of_processes_that_fork_and_end_is_killed_too(start: Any, tmp_path: Path) -> None:
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


def test_processes_that_a_job_hid_end_when_it_is_stopped(start: Any, tmp_path: Path) -> None:
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
    start: Any, misbehaving: MisbehavingWorkers
) -> None:
    before = len(misbehaving.logged())

    assert start("says", text="a word ", times=10_000).wait(60) is None

    said = wait_until(lambda: misbehaving.logged()[before:])
    assert said.endswith("a word ")
    assert len(said) < 20_000


def crash(job: Job) -> str:
    """Return the reason when a job crashes, which it does soon."""
    with pytest.raises(WorkerCrashed) as crashed:
        job.wait(25)
    return str(crashed.value)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (
            signal.SIGKILL,
            "It was ended by SIGKILL, most likely because the machine has no memory left.",
        ),
        (
            signal.SIGSEGV,
            "It was ended by SIGSEGV: it crashed, perhaps because it was refused memory.",
        ),
        (signal.SIGTERM, "It was ended by SIGTERM."),
        (signal.SIGRTMIN + 1, f"It was ended by signal {signal.SIGRTMIN + 1}."),
    ],
)
def test_a_job_that_a_signal_ends_crashed_and_says_which(
    start: Any, number: int, reason: str
) -> None:
    assert crash(start("signals", to="self", signal=number)) == reason


def test_a_job_that_hits_a_defect_crashed_and_the_log_has_the_traceback(
    start: Any, misbehaving: MisbehavingWorkers
) -> None:
    before = len(misbehaving.logged())

    assert crash(start("raises")) == "It met an internal error."

    wait_until(lambda: "ZeroDivisionError: a defect of ours" in misbehaving.logged()[before:])
    assert "Traceback" in misbehaving.logged()[before:]


@pytest.mark.parametrize("status", [0, 101])
def test_a_job_that_exits_without_a_result_crashed(start: Any, status: int) -> None:
    expected = f"It ended without a result (status {status})."
    assert crash(start("exits", status=status)) == expected


def test_a_job_that_sends_an_invalid_message_is_killed(start: Any) -> None:
    assert crash(start("talks_nonsense")) == "It sent something that is no message."


def test_a_job_that_ignores_the_signal_of_its_processor_limit_exceeded_that_limit(
    start: Any,
) -> None:
    limits = JobLimits(seconds=0, memory_bytes=2**29)

    reason = failure(start("spins_on", limits))

    assert reason == "It took more processor time than the limit of 0 s."


def test_a_job_is_followed_while_it_runs(start: Any, tmp_path: Path) -> None:
    job = start("reports")

    progress = wait_until(lambda: job.progress)
    (tmp_path / "seen").touch()

    assert (progress.stage, progress.share) == ("halfway", 0.5)
    assert job.wait(25) is None


def test_a_result_of_many_megabytes_arrives_whole(start: Any) -> None:
    result = start("returns_much").wait(25)

    assert len(result) == 200_000
    assert set(result) == {"a word that is not short"}


def test_arguments_of_many_megabytes_arrive_whole(start: Any) -> None:
    words = ["a word that is not short"] * 200_000

    assert start("behaves", words=words).wait(25) == {"words": words}


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
    assert f"the worker host ended with status {-number}" in caplog.text


def test_processes_that_a_job_hid_end_with_a_killed_host(start: Any) -> None:
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
    assert "the worker host does not answer and is killed" in caplog.text


def test_a_host_that_a_job_has_stopped_is_replaced_even_if_the_job_is_polled_constantly(
    start: Any,
) -> None:
    job = start("signals", to="host", signal=signal.SIGSTOP)
    wait_until(lambda: "(stopped)" in Path(f"/proc/{job.host}/status").read_text())

    def look() -> str | None:
        """Do what a training does at each look after the deadline."""
        try:
            job.wait(0.05)
        except TimeoutError:
            job.stop("It took longer than the limit of 1 s.")
        except JobStopped as error:
            return str(error)
        return None

    assert wait_until(look) == "It took longer than the limit of 1 s."
    start("behaves").wait(60)
