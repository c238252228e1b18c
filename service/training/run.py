"""One training from the queue to its end: the worker process, the records, the use."""

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from service.common.disk_errors import lack
from service.common.domain import (
    IF_BETTER,
    Fault,
    Note,
    Training,
    TrainingState,
    Version,
)
from service.common.errors import (
    EpochConflict,
    JobStopped,
    RegistryUnavailable,
    ServiceError,
    StorageUnavailable,
    WorkerCrashed,
    quoted,
)
from service.common.ports import Registry
from service.processes import job_files as files
from service.training.comparison import Compared, compare
from service.training.executor import JOB_SHARE, TrainingGone, TrainingJob, present_record
from service.training.search_follower import SearchFollower
from service.training.services import TrainingServices, fault_of
from service.training.spec import TrainingSpec
from service.training.stored_rows import FETCHING, data_set_read, fetch_rows

logger = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.05


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
        self._job: TrainingJob | None = None
        self._stopped: tuple[TrainingState, Fault | None, str] | None = None
        self._let_go = False
        self._follower: SearchFollower | None = None

    def cancel(self) -> None:
        """Make it end soon as cancelled, unless its version is registered already."""
        self._stop("cancelled", None, "It was cancelled.")

    def drain(self) -> None:
        """Make it end soon as failed, because the service is stopping."""
        self._stop("failed", "service", "The service was stopped while it ran.")

    def let_go(self) -> None:
        """Stop following it soon, so that another replica takes it up."""
        self._let_go = True

    def _stop(self, state: TrainingState, fault: Fault | None, reason: str) -> None:
        with self._lock:
            if self._stopped is None:
                self._stopped = (state, fault, reason)
                if self._job is not None:
                    self._job.stop(reason)

    def run(self, services: TrainingServices) -> Training:
        """Go through all stages, and remove the folder; return the training in its final state.

        One that a replica takes up later, or that has ended, is returned as it is. Raises nothing.
        """
        try:
            training = self._train(services)
        except TrainingGone:
            shutil.rmtree(self._spec.folder, ignore_errors=True)
            return self.training
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
            training = self._failed(str(error), fault_of(error))
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
        elif training.search is not None:
            training = replace(training, search=training.search.ended())
        self.training = replace(training, finished_at=time.time())
        return self.training

    def _failed(self, error: str, fault: Fault) -> Training:
        return replace(self.training, state="failed", error=error, fault=fault)

    def _train(self, services: TrainingServices) -> Training:
        start = time.monotonic()
        spec, limits, registry = self._spec, services.limits, services.registry
        executor = services.executor
        if executor.outlives:
            # Another replica may have begun it. That clock is MLflow's, and may be ahead.
            start -= max(0.0, time.time() - self.training.created_at)
        self._raise_if_stopped()
        if not executor.outlives:
            self._record(registry, state="running", stage="starting")
            # Where it outlives this replica, its pods record its trials.
            self._follower = None if spec.search is None else SearchFollower(registry)
            fetch_rows(registry, spec, lambda: self._record(registry, stage=FETCHING))
        deadline = executor.deadline(limits.each)
        job = self._begin(lambda: executor.start(self.training, spec, limits.each))
        result = self._follow(job, deadline, services)
        try:
            return self._finish(services, result, start, deadline)
        except RegistryUnavailable as error:
            if not executor.keeps(self.training):
                raise
            logger.warning("training %s is ended later: %s", self.training.id, error)
            raise TrainingGone from error

    def _finish(
        self,
        services: TrainingServices,
        result: Mapping[str, Any],
        start: float,
        deadline: float,
    ) -> Training:
        """Compare and register what the job has made, and put it in use."""
        spec, limits, registry = self._spec, services.limits, services.registry
        deadline = min(deadline, time.monotonic() + limits.each.seconds)
        data_set = data_set_read(result)
        if data_set is not None:
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
        version = None
        if services.executor.outlives:
            present_record(registry, self.training)
            # The replica that had it before may have come this far.
            version = registry.version_of_training(spec.name, self.training.id)
        rows = data_set or spec.data_set
        registry.record_result(self.training, result["params"], rows, spec.folder / files.REPORT)
        self._raise_if_stopped()
        version = version or registry.add_version(spec.version_of(self.training.id, result))
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

        def read_held_out(told: Mapping[str, Any]) -> TrainingJob:
            return services.workers.start("held_out", self._spec.folder, told, limits.each)

        def check() -> None:
            self._raise_if_stopped()
            if time.monotonic() > deadline:
                raise JobStopped(f"It took longer than the limit of {limits.each.seconds:g} s.")

        compared = compare(
            self._spec.folder,
            services.current_model,
            lambda told: self._follow(self._begin(lambda: read_held_out(told)), deadline, services),
            check,
        )
        self.training = replace(self.training, comparison=compared.comparison)
        for note in compared.notes:
            self._note(note)
        if self._spec.refit:
            self._note("The version was compared before it was fitted again on all rows.")
        return compared

    def _note(self, message: str) -> None:
        note, notes = Note(None, message), self.training.notes
        # One that is taken up may have it already.
        if note not in notes:
            self.training = replace(self.training, notes=(*notes, note))

    def _begin(self, start: Callable[[], TrainingJob]) -> TrainingJob:
        """Start a job, unless the training was stopped before."""
        with self._lock:
            self._raise_if_stopped()
            self._job = job = start()
        return job

    def _raise_if_stopped(self) -> None:
        """Raise JobStopped after `cancel` or `drain`."""
        if self._stopped is not None:
            raise JobStopped(self._stopped[2])

    def _follow(
        self, job: TrainingJob, deadline: float, services: TrainingServices
    ) -> dict[str, Any]:
        """Wait for the result of a job and follow its progress; stop it at the deadline."""
        while True:
            try:
                result = job.wait(_PROGRESS_SECONDS)
            except TimeoutError:
                if self._let_go:
                    raise TrainingGone from None
                self._look(job, services.registry)
                if time.monotonic() > deadline:
                    job.stop(f"It took longer than the limit of {job.limits.seconds:g} s.")
                continue
            self._look_at_search(job)
            assert isinstance(result, dict)
            return result

    def _look(self, job: TrainingJob, registry: Registry) -> None:
        """Take over what a job has said so far."""
        if job.waiting:
            if job.waiting != self.training.stage:
                self._tell(registry, state="queued", stage=job.waiting)
            return
        if self.training.state == "queued":
            self._tell(registry, state="running", stage="starting")
        if job.progress is not None:
            stage, share = job.progress.stage, JOB_SHARE * job.progress.share
            self.training = replace(self.training, stage=stage, progress=share)
        self._look_at_search(job)

    def _look_at_search(self, job: TrainingJob) -> None:
        if self._follower is not None:
            self.training = self._follower.look(job, self.training)
        elif job.search is not None:
            self.training = replace(self.training, search=job.search)

    def _record(self, registry: Registry, **changes: Any) -> None:
        """Change the training's state here and in MLflow, where other replicas read it."""
        self.training = replace(self.training, beat_at=time.time(), **changes)
        registry.update_training(self.training)

    def _tell(self, registry: Registry, **changes: Any) -> None:
        """Record what may as well be recorded a little later: a silent MLflow ends no job."""
        before = self.training
        try:
            self._record(registry, **changes)
        except RegistryUnavailable:
            self.training = before
