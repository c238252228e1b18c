"""One training from the queue to its end: the worker process, the records, the use."""

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.common.disk_errors import lack
from service.common.domain import (
    IF_BETTER,
    DataSet,
    Fault,
    NewVersion,
    Note,
    Training,
    TrainingState,
    UseWish,
    Version,
)
from service.common.errors import (
    Conflict,
    EpochConflict,
    InvalidRequest,
    JobFailed,
    JobStopped,
    ServiceError,
    StorageUnavailable,
    WorkerCrashed,
    quoted,
)
from service.common.ports import Registry
from service.common.search import SearchState
from service.processes import job_files as files
from service.processes.job import Job
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.rollout.coordinator import Coordinator
from service.serving.current_model import CurrentModel
from service.training.comparison import Compared, compare
from service.training.search_follower import SearchFollower
from service.training.stored_rows import TABLE_ROWS, data_set_of, fetch_rows, limits_beside

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """How many trainings there may be, and what each may take."""

    at_once: int
    queued: int
    each: JobLimits


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """A training whose request and rows were checked."""

    name: str
    model_type: str
    data_set: DataSet
    use: UseWish
    folder: Path
    """Holds the rows that the check wrote; removed at the end."""
    request: str = ""
    """The request in full, as the worker that checked it wrote it, for the one that trains."""
    refit: bool = False
    """Whether it is fitted again, on all rows, after it was measured."""
    search: SearchState | None = None
    """Where it begins with a search: the state before that."""
    rows_are_stored: bool = False
    """Whether the folder holds no rows yet: those of `data_set` are fetched when it runs."""
    only_first: bool = False
    """Whether it is put in use only if no model is."""


@dataclass(frozen=True, slots=True)
class TrainingServices:
    """What every training needs."""

    registry: Registry
    workers: WorkerPool
    coordinator: Coordinator
    current_model: CurrentModel
    limits: Limits


class TrainingRun:
    """A training that is open in this replica."""

    def __init__(self, training: Training, spec: TrainingSpec) -> None:
        self.training = training
        """Its present state; the record in MLflow may be some seconds older."""
        self.ended: Future[Training] = Future()
        """Done when the training has ended and that is recorded."""
        self.failure: ServiceError | None = None
        """The error by which it failed, if any; it says more than the record's sentence."""
        self._spec = spec
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._stopped: tuple[TrainingState, Fault | None, str] | None = None
        self._follower: SearchFollower | None = None

    def cancel(self) -> None:
        """Make it end soon as cancelled, unless its version is registered already."""
        self._stop("cancelled", None, "It was cancelled.")

    def drain(self) -> None:
        """Make it end soon as failed, because the service is stopping."""
        self._stop("failed", "service", "The service was stopped while it ran.")

    def _stop(self, state: TrainingState, fault: Fault | None, reason: str) -> None:
        with self._lock:
            if self._stopped is None:
                self._stopped = (state, fault, reason)
                if self._job is not None:
                    self._job.stop(reason)

    def run(self, services: TrainingServices) -> Training:
        """Go through all stages, and remove the folder; return the training in its final state.

        Raises nothing.
        """
        try:
            training = self._train(services)
        except JobStopped as error:
            # If neither `cancel` nor `drain` stopped it, its time limit did.
            state, fault = ("failed", "request") if self._stopped is None else self._stopped[:2]
            training = replace(self.training, state=state, error=str(error), fault=fault)
        except WorkerCrashed as error:
            # Those who wait get TrainingLost, as do those who ask later.
            logger.error("the worker of training %s crashed: %s", self.training.id, error)
            training = self._failed(str(error), "service")
        except ServiceError as error:
            self.failure = error
            training = self._failed(str(error), _fault_of(error))
        except Exception as error:
            if reason := lack(error):
                self.failure = StorageUnavailable(reason)
                training = self._failed(str(self.failure), "service")
            else:
                # A defect in one training must not end the thread.
                logger.exception("training %s met a defect", self.training.id)
                training = self._failed("It met an internal error.", "service")
        shutil.rmtree(self._spec.folder, ignore_errors=True)
        if self._follower is not None and training.state != "succeeded":
            with contextlib.suppress(ServiceError):  # The training's own end matters more.
                training = self._follower.finish(training)
        self.training = replace(training, finished_at=time.time())
        return self.training

    def _failed(self, error: str, fault: Fault) -> Training:
        return replace(self.training, state="failed", error=error, fault=fault)

    def _train(self, services: TrainingServices) -> Training:
        start = time.monotonic()
        spec, limits, registry = self._spec, services.limits, services.registry
        self._raise_if_stopped()
        self._record(registry, state="running", stage="starting")
        deadline = start + limits.each.seconds
        if spec.search is not None:
            self._follower = SearchFollower(registry)
        job_spec = {"request": spec.request, "seconds": limits.each.seconds, **TABLE_ROWS}
        data_set = spec.data_set
        if spec.rows_are_stored:
            self._record(registry, stage="fetching rows")
            job_spec |= fetch_rows(registry, data_set, spec.folder)
        result = self._work(services, "train", job_spec, deadline)
        if result["data_set"] is not None:  # The job was the first to read the rows.
            data_set = data_set_of(result["data_set"])
            self.training = replace(self.training, notes=data_set.notes)
        self.training = replace(self.training, model_type=result["model_type"])
        compared = self._compare(services, deadline) if spec.use == IF_BETTER else None
        seconds = {**result["seconds"], "total": time.monotonic() - start}
        if self._follower is not None:
            self.training = self._follower.finish(self.training, deadline - time.monotonic())
            if left := self._follower.unwritten:
                self._note(f"MLflow was too slow to take {left:,} trials of the search.")
        self._record(
            registry,
            stage="recording",
            progress=0.9,
            metrics=result["metrics"],
            seconds=seconds,
        )
        for text in result["notes"]:
            self._note(text)
        registry.record_result(
            self.training, result["params"], data_set, spec.folder / files.REPORT
        )
        self._raise_if_stopped()
        version = registry.add_version(
            NewVersion(
                name=spec.name,
                model_type=result["model_type"],
                run_id=self.training.id,
                folder=spec.folder / files.VERSION,
                sha256=result["sha256"],
                params=result["chosen"],
                metrics=result["metrics"],
                features=[(name, kind) for name, kind in result["features"]],
            )
        )
        self._record(registry, stage="putting in use", progress=0.95, version=version.version)
        used, missing = self._use(services, version, compared)
        return replace(
            self.training,
            state="succeeded",
            stage="",
            progress=1.0,
            used=used,
            missing=missing,
            seconds={**seconds, "total": time.monotonic() - start},
        )

    def _use(
        self, services: TrainingServices, version: Version, compared: Compared | None
    ) -> tuple[bool, tuple[str, ...]]:
        """Put the version in use if that is wished and it may be.

        Return whether all replicas confirm that, and those that do not.
        """
        spec, by = self._spec, f"training {self.training.id}"
        if not spec.use or (spec.only_first and services.registry.newest_use() is not None):
            return False, ()
        epoch = None
        if compared is not None:
            if compared.comparison.verdict != "better":
                return False, ()
            epoch = compared.epoch
        try:
            change = services.coordinator.use(version, by, epoch)
        except EpochConflict as error:
            self._note(
                "It was not put in use, as the model in use changed after they were compared: "
                f"the epoch was {epoch} and is {error.found}."
            )
            return False, ()
        if change.ended_traffic is not None:
            ended = change.ended_traffic
            self._note(f"It ended the traffic to version {ended.version} of {quoted(ended.name)}.")
        return not change.missing, tuple(change.missing)

    def _compare(self, services: TrainingServices, deadline: float) -> Compared:
        """Compare the new version with the one in use, and keep what came of it."""
        self.training = replace(self.training, stage="comparing")
        limits = services.limits

        def check() -> None:
            self._raise_if_stopped()
            if time.monotonic() > deadline:
                raise JobStopped(f"It took longer than the limit of {limits.each.seconds:g} s.")

        compared = compare(
            self._spec.folder,
            services.current_model,
            lambda spec: self._work(services, "held_out", spec, deadline),
            check,
        )
        self.training = replace(self.training, comparison=compared.comparison)
        for note in compared.notes:
            self._note(note)
        if self._spec.refit:
            self._note("The version was compared before it was fitted again on all rows.")
        return compared

    def _note(self, message: str) -> None:
        self.training = replace(self.training, notes=(*self.training.notes, Note(None, message)))

    def _work(
        self, services: TrainingServices, kind: str, spec: Mapping[str, Any], deadline: float
    ) -> dict[str, Any]:
        """Have a worker do a job in the folder, and return its result."""
        with self._lock:
            self._raise_if_stopped()
            limits = services.limits.each
            if self._spec.rows_are_stored:
                limits = limits_beside(self._spec.data_set, limits)
            job = self._job = services.workers.start(kind, self._spec.folder, spec, limits)
        return self._follow(job, deadline)

    def _raise_if_stopped(self) -> None:
        """Raise JobStopped after `cancel` or `drain`."""
        if self._stopped is not None:
            raise JobStopped(self._stopped[2])

    def _follow(self, job: Job, deadline: float) -> dict[str, Any]:
        """Wait for the worker's result and follow its progress; stop it at the deadline."""
        while True:
            try:
                result = job.wait(_PROGRESS_SECONDS)
            except TimeoutError:
                self._look(job)
                if time.monotonic() > deadline:
                    job.stop(f"It took longer than the limit of {job.limits.seconds:g} s.")
                continue
            self._look_at_search(job)
            assert isinstance(result, dict)
            return result

    def _look(self, job: Job) -> None:
        """Take over what a worker has said so far."""
        if job.progress is not None:
            stage, share = job.progress.stage, 0.9 * job.progress.share
            self.training = replace(self.training, stage=stage, progress=share)
        self._look_at_search(job)

    def _look_at_search(self, job: Job) -> None:
        if self._follower is not None:
            self.training = self._follower.look(job, self.training)

    def _record(self, registry: Registry, **changes: Any) -> None:
        """Change the training's state here and in MLflow, where other replicas read it."""
        self.training = replace(self.training, beat_at=time.time(), **changes)
        registry.update_training(self.training)


def _fault_of(error: ServiceError) -> Fault:
    if isinstance(error, InvalidRequest | JobFailed):
        return "request"
    return "conflict" if isinstance(error, Conflict) else "service"
