"""How the pod of a training tells what became of the process that did the job."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.common.domain import DataSet, Training
from service.pod.container_memory import oom_kills
from service.pod.training_pod import TrainingPod
from service.processes.job import Job
from service.processes.limits import JobLimits, LimitExceeded
from service.processes.messages import Crashed, Done, Outcome, OverLimit, Rejected
from service.processes.pool import WorkerPool
from service.training import handover
from service.training.spec import TrainingSpec
from tests.support.fakes import FakeRegistry

LIMITS = JobLimits(seconds=300, memory_bytes=512 * 2**20)
KILLED = Crashed("It was ended by SIGKILL.", was_killed=True)
CRASHED = Crashed("It was ended by SIGSEGV.")
TOO_MUCH = Rejected("JobFailed", "It took more memory than the limit of 512 MiB.")


class EndedWorkers(WorkerPool):
    """Workers of which the one that trains ends in a certain way."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self._outcome = outcome

    def start(self, kind: str, folder: Path, spec: Mapping[str, Any], limits: JobLimits) -> Job:  # noqa: ARG002
        job = Job(1, 1, lambda _: None, folder, limits)
        job.outcome.set_result(self._outcome if kind == "train" else Done())
        return job


@pytest.mark.parametrize(
    ("ended", "kills", "told"),
    [
        (KILLED, 1, TOO_MUCH),
        (KILLED, 0, KILLED),
        (CRASHED, 1, CRASHED),
        (OverLimit(LimitExceeded.MEMORY), 0, TOO_MUCH),
    ],
)
def test_a_worker_that_the_kernel_killed_for_the_memory_of_the_pod_took_too_much(
    tmp_path: Path, ended: Outcome, kills: int, told: Outcome
) -> None:
    registry = FakeRegistry(tmp_path / "registry")
    training = registry.open_training(Training("", "queued", 0.0, name="m"), {}).id
    (tmp_path / "given").mkdir()
    spec = TrainingSpec(
        name="m",
        model_type="GaussianNB",
        data_set=DataSet("iris", "", 150, (), "class", 0.0),
        use=False,
        folder=tmp_path / "given",
    )
    handover.give(registry, training, spec)
    workers = EndedWorkers(ended)
    folder = tmp_path / "pod"

    TrainingPod(registry, workers, training, folder, LIMITS, oom_kills=lambda: kills).run(0, 1)

    assert handover.outcome_of(registry, training) == told


@pytest.mark.parametrize(
    ("name", "text", "kills"),
    [
        ("memory.events", "low 0\noom 1\noom_kill 2\noom_group_kill 0\n", 2),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", 0),
        ("other", "oom_kill 1\n", 0),
    ],
)
def test_the_kernel_says_how_many_processes_it_killed(
    tmp_path: Path, name: str, text: str, kills: int
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

    assert oom_kills(tmp_path) == kills
