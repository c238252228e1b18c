"""Jobs that misbehave (memory, forks, time, disk) end with all processes they started."""

import contextlib
import os
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.common.domain import Version
from service.common.errors import JobFailed, JobStopped, WorkerCrashed, WorkersUnavailable
from service.processes.job import Job
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from tests.support.fakes import FakeRegistry
from tests.support.server import ENDLESS, serve, settings_for
from tests.support.waiting import wait_until

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
LIMITS = JobLimits(seconds=60, memory_bytes=2**29, disk_bytes=64 * 2**20)


class MisbehavingWorkers(WorkerPool):
    """Workers whose hosts also run the jobs of `misbehaving`; tracks all their processes."""

    def __init__(self) -> None:
        super().__init__()
        self._sign = f"MISBEHAVING={uuid.uuid4().hex}"
        self.command = ("env", self._sign, sys.executable, "-m", "tests.support.misbehaving")

    def processes(self) -> set[int]:
        """Return the hosts and all their descendants, wherever they are now."""
        pids = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if self._sign.encode() in path.read_bytes().split(b"\0"):
                    pids.add(int(path.parent.name))
        return pids


class CrashingWorkers(MisbehavingWorkers):
    """Workers that get this signal in each job of these kinds."""

    def __init__(self, *kinds: str, number: int = signal.SIGKILL) -> None:
        super().__init__()
        self.kinds = kinds
        self.number = number

    def start(self, kind: str, folder: Path, spec: Mapping[str, Any], limits: JobLimits) -> Job:
        if kind in self.kinds:
            kind, spec = "signals", {"to": "self", "signal": self.number}
        return super().start(kind, folder, spec, limits)


@pytest.fixture(scope="module")
def workers() -> Iterator[MisbehavingWorkers]:
    workers = MisbehavingWorkers()
    yield workers
    workers.close()
    wait_until(lambda: not workers.processes())


@pytest.fixture
def start(workers: MisbehavingWorkers, tmp_path: Path) -> Iterator[Any]:
    """Start a misbehaving job; after the test none of its processes is left, and the host works."""

    def start(kind: str, limits: JobLimits = LIMITS, **spec: object) -> Job:
        return workers.start(kind, tmp_path, spec, limits)

    yield start
    wait_until(lambda: workers.processes() <= {workers.host}, seconds=20)
    (tmp_path / "next").mkdir()
    job = workers.start("behaves", tmp_path / "next", {"works": True}, LIMITS)
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
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workers = MisbehavingWorkers()
    spec = {"text": "a word ", "times": 10_000}

    assert workers.start("says", tmp_path, spec, LIMITS).wait(60) is None

    workers.close()

    said = capfd.readouterr().err
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
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workers = MisbehavingWorkers()

    assert crash(workers.start("raises", tmp_path, {}, LIMITS)) == "It met an internal error."

    workers.close()
    logged = capfd.readouterr().err
    assert "Traceback" in logged
    assert "ZeroDivisionError: a defect of ours" in logged


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


def test_a_crash_is_the_services_fault_for_uploads_files_of_rows_and_trainings(
    tmp_path: Path,
) -> None:
    registry = FakeRegistry(tmp_path)
    with serve(settings_for(tmp_path / "first"), registry) as client:
        client.train(dataset="iris", model_type="GaussianNB")
    workers = CrashingWorkers("data_set", "matrix", "train")
    csv = {"content-type": "text/csv"}
    training = {"dataset": "iris", "model_type": "GaussianNB"}

    with serve(settings_for(tmp_path / "second"), registry, workers) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        names = ",".join(feature["name"] for feature in client.get("/schema").json()["features"])
        rows = f"{names}\n1,2,3,4\n".encode()
        replies = [
            client.post("/datasets?name=d", content=b"x,y\n1,2\n", headers=csv),
            client.post("/predict", content=rows, headers=csv),
            client.post("/train", json=training),
        ]
        begun = client.post("/train", json={**training, "wait": 0}).json()["id"]
        later = client.wait_for_training(begun)
    workers.close()

    assert [reply.status_code for reply in replies] == [503, 503, 503]
    assert [reply.json()["type"].rpartition("/")[2] for reply in replies] == [
        "worker-crashed",
        "worker-crashed",
        "training-lost",
    ]
    assert all("SIGKILL" in reply.json()["detail"] for reply in replies)
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
    assert "SIGKILL" in later["error"]
    assert {t.fault for t in registry.trainings.values() if t.state == "failed"} == {"service"}


def test_a_limit_that_a_request_hits_stays_the_clients_fault(tmp_path: Path) -> None:
    class HungryWorkers(MisbehavingWorkers):
        def start(self, _: str, folder: Path, spec: Mapping[str, Any], limits: JobLimits) -> Job:
            return super().start("eats_memory", folder, spec, replace(limits, memory_bytes=2**28))

    workers = HungryWorkers()
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path), workers) as client:
        headers = {"content-type": "text/csv"}
        reply = client.post("/datasets?name=d", content=b"x,y\n1,2\n", headers=headers)
    workers.close()

    assert reply.status_code == 400
    assert "more memory than the limit of 256 MiB" in reply.json()["detail"]


def test_predictions_go_on_while_a_training_exceeds_its_time(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("number", "status", "slug", "looked_at"),
    [
        (signal.SIGKILL, 503, "worker-crashed", False),
        (signal.SIGSEGV, 409, "version-not-servable", True),
    ],
)
def test_a_foreign_version_is_blamed_for_a_crash_of_its_reader_but_not_for_want_of_memory(
    tmp_path: Path, number: signal.Signals, status: int, slug: str, looked_at: bool
) -> None:
    registry = FakeRegistry(tmp_path)
    version = Version("theirs", 1, 1.0)
    registry.versions["theirs", 1] = version
    registry.files(version).mkdir(parents=True)
    (registry.files(version) / "MLmodel").write_text("flavors: {}")
    workers = CrashingWorkers("adopt", number=number)
    with serve(settings_for(tmp_path / "data"), registry, workers) as client:
        reply = client.post("/use-model", json={"name": "theirs", "version": 1})
        shown = client.get("/models/theirs/versions/1").json()
    workers.close()

    assert reply.status_code == status, reply.text
    assert reply.json()["type"] == f"/problems/{slug}"
    assert (shown.get("servable") is False) == looked_at
