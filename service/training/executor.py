"""Where trainings run: the port, and the executor that runs them in processes of this replica."""

import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from service.common.domain import Training
from service.common.ports import Trainings
from service.common.search import SearchState, Trial
from service.processes.limits import JobLimits
from service.processes.messages import Progress
from service.processes.pool import WorkerPool
from service.training.stored_rows import limits_beside

if TYPE_CHECKING:
    from service.training.spec import TrainingSpec


JOB_SHARE = 0.9
"""The share of a training's progress that its job is."""


class TrainingJob(Protocol):
    """The job of a training: it fits what was planned, and leaves its files in the folder."""

    @property
    def limits(self) -> JobLimits:
        """What it may take."""

    @property
    def waiting(self) -> str:
        """What it waits for before it begins; empty: it has begun."""

    @property
    def progress(self) -> Progress | None:
        """How far it has come, as it said last."""

    @property
    def search(self) -> SearchState | None:
        """How far its search has come, as it said last."""

    @property
    def trials(self) -> deque[Trial]:
        """What is to be recorded of the search's trials, to be taken from the left."""

    def stop(self, reason: str) -> None:
        """End it; only the first call counts."""

    def wait(self, seconds: float) -> object:
        """Wait for the end, and return the result.

        Raises TimeoutError while it runs, JobStopped if it was stopped, TrainingGone where another
        replica has taken it or ended it, and otherwise the error by which it failed.
        """


class TrainingGone(Exception):
    """Another replica has taken the training up, or ended it: there is nothing to do here."""


def present_record(trainings: Trainings, training: Training) -> Training:
    """Return the record of a training; raises TrainingGone, and what `get_training` does."""
    record = trainings.get_training(training.id)
    if record.ended or record.owner != training.owner:
        raise TrainingGone
    return record


class Executor(Protocol):
    """Runs the jobs of trainings."""

    @property
    def outlives(self) -> bool:
        """Whether a training goes on without the replica that began it."""

    def keeps(self, training: Training) -> bool:
        """Whether a training whose job has ended can be ended later, when MLflow answers again."""

    def limits(self, each: JobLimits) -> JobLimits:
        """Return what a training may take where it runs; `each`: what it might in this replica."""

    def prepare(self, training: Training, spec: "TrainingSpec") -> None:
        """Keep what any replica needs to run a training; raises RegistryUnavailable."""

    def spec_of(self, training: Training) -> "TrainingSpec | None":
        """Return what was prepared, with its files here; None where nothing was.

        Raises RegistryUnavailable.
        """

    def start(self, training: Training, spec: "TrainingSpec", limits: JobLimits) -> TrainingJob:
        """Start the job of a training, or find the one that was started for it."""

    def deadline(self, limits: JobLimits) -> float:
        """Return when a job that starts now is to be stopped, by the monotonic clock."""

    def end(self, training: Training) -> None:
        """Remove what was prepared for a training that has ended; what fails is left."""


class ProcessExecutor:
    """Runs trainings in worker processes beside the service."""

    outlives = False

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers

    def keeps(self, training: Training) -> bool:  # noqa: ARG002
        """Return False: what the job has made is in a folder of this replica."""
        return False

    def limits(self, each: JobLimits) -> JobLimits:
        """Return the same: it runs here."""
        return each

    def prepare(self, training: Training, spec: "TrainingSpec") -> None:
        """Do nothing: the files are where they are needed."""

    def spec_of(self, training: Training) -> "TrainingSpec | None":  # noqa: ARG002
        """Return None: the files are gone with the replica that had them."""
        return None

    def start(
        self,
        training: Training,  # noqa: ARG002
        spec: "TrainingSpec",
        limits: JobLimits,
    ) -> TrainingJob:
        """Start a worker; raises WorkersUnavailable."""
        told = spec.job(limits)
        return self._workers.start("train", spec.folder, told, limits_beside(spec, limits))

    def deadline(self, limits: JobLimits) -> float:
        """Return when a job that starts now is to be stopped, by the monotonic clock."""
        return time.monotonic() + limits.seconds

    def end(self, training: Training) -> None:
        """Do nothing: the training's folder is removed by its run."""
