"""Trainings: a bounded queue, a child for each, and what becomes of the result.

A training's record is in MLflow from the moment it is accepted. While it is open its owner beats;
one whose owner has stopped beating is closed as failed by whoever notices.
"""

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from service.children import Children, Job, JobFailed, JobStopped
from service.errors import (
    QueueFull,
    RegistryUnavailable,
    ServiceError,
    TrainingEnded,
    TrainingNotFound,
)
from service.metrics import Metrics
from service.model import DataSet, NewVersion, Registry, Training
from service.replicas import Replicas

logger = logging.getLogger(__name__)

BEAT_SECONDS = 10.0
ORPHAN_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_STOPPED = "It was cancelled."
_DRAINED = "The service was stopped while it ran."


@dataclass(frozen=True, slots=True)
class Limits:
    """What trainings may take."""

    at_once: int
    queued: int
    seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Order:
    """A training that was looked at and may begin."""

    name: str
    model_type: str
    params: Mapping[str, Any]
    data_set: DataSet
    use: bool
    folder: Path
    """Holds what `inspect` left there; removed at the end."""


@dataclass(slots=True)
class _Running:
    training: Training
    order: Order
    ended: Future[Training] = field(default_factory=Future)
    failure: ServiceError | None = None
    cancelled: bool = False
    drained: bool = False
    job: Job | None = None
    recorded_at: float = 0.0


class Trainer:
    """Runs the trainings of this replica."""

    def __init__(
        self,
        owner: str,
        registry: Registry,
        children: Children,
        replicas: Replicas,
        metrics: Metrics,
        limits: Limits,
    ) -> None:
        self._owner = owner
        self._registry = registry
        self._children = children
        self._replicas = replicas
        self._metrics = metrics
        self._limits = limits
        self._changed = threading.Condition()
        self._waiting: deque[_Running] = deque()
        self._open: dict[str, _Running] = {}
        self._unclosed: list[Training] = []
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to take trainings."""
        for index in range(self._limits.at_once):
            self._begin(self._work, f"trainer-{index}")
        self._begin(self._beat, "beats")

    def _begin(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Stop the trainings that are open, record that, and take no more."""
        with self._changed:
            self._stopping.set()
            for running in self._open.values():
                running.drained = True
                if running.job is not None:
                    running.job.stop(_DRAINED)
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)

    def check_room(self) -> None:
        """Raise QueueFull where no more trainings may wait."""
        with self._changed:
            if len(self._open) >= self._limits.at_once + self._limits.queued:
                raise QueueFull(len(self._waiting))

    def submit(self, order: Order, details: Mapping[str, str]) -> Training:
        """Accept a training: record it and put it in the queue.

        Raises QueueFull or RegistryUnavailable; then the order's folder is the caller's again.
        """
        self.check_room()
        now = time.time()
        training = self._registry.open_training(
            Training(
                id="",
                state="queued",
                created_at=now,
                name=order.name,
                model_type=order.model_type,
                stage="waiting",
                data_set=order.data_set.name,
                owner=self._owner,
                beat_at=now,
            ),
            details,
        )
        running = _Running(training, order)
        with self._changed:
            self._open[training.id] = running
            self._waiting.append(running)
            self._metrics.trainings_queued.set(len(self._waiting))
            self._changed.notify()
        return training

    def get(self, identifier: str) -> Training:
        """Give a training, with the progress of this moment if it runs here."""
        with self._changed:
            running = self._open.get(identifier)
        if running is None:
            return self._registry.get_training(identifier)
        return running.training

    def current(self, training: Training) -> Training:
        """Give the newest that is known of a training that the registry listed."""
        with self._changed:
            running = self._open.get(training.id)
        return training if running is None else running.training

    def end_of(self, identifier: str) -> Future[Training] | None:
        """Give the future of a training that is open here: its end, or why it failed."""
        with self._changed:
            running = self._open.get(identifier)
        return None if running is None else running.ended

    def cancel(self, identifier: str) -> Training:
        """Cancel a training; raises TrainingNotFound or TrainingEnded."""
        with self._changed:
            running = self._open.get(identifier)
            if running is not None:
                running.cancelled = True
                if running.job is not None:
                    running.job.stop(_STOPPED)
        if running is not None:
            return running.ended.result(timeout=30)
        training = self._registry.get_training(identifier)
        if training.ended:
            raise TrainingEnded(identifier, training.state)
        closed = replace(
            training, state="cancelled", stage="", finished_at=time.time(), error=_STOPPED
        )
        self._registry.close_training(closed)
        return closed

    def close_orphans(self, older_than: float) -> None:
        """Close as failed each open training of another owner that has not beaten for so long."""
        now = time.time()
        for training in self._registry.open_trainings():
            if training.id in self._open or now - training.beat_at < older_than:
                continue
            logger.warning("training %s lost its owner", training.id)
            self._registry.close_training(
                replace(
                    training,
                    state="failed",
                    finished_at=now,
                    error="The replica that ran it is gone; send the request again.",
                )
            )
            self._metrics.trainings.labels("failed").inc()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
                if not self._waiting:
                    return
                running = self._waiting.popleft()
                self._metrics.trainings_queued.set(len(self._waiting))
            with self._metrics.trainings_running.track_inprogress():
                self._run(running)

    def _run(self, running: _Running) -> None:
        start = time.time()
        try:
            training = self._train(running)
        except JobStopped as error:
            cancelled = running.cancelled and not running.drained
            training = replace(
                running.training, state="cancelled" if cancelled else "failed", error=str(error)
            )
        except ServiceError as error:
            running.failure = error
            training = replace(running.training, state="failed", error=str(error))
        except OSError as error:
            running.failure = JobFailed(f"The disk does not take it: {error.strerror}.")
            training = replace(running.training, state="failed", error=str(running.failure))
        except Exception:
            # The edge of the thread: a defect of ours must not end the queue with it.
            logger.exception("training %s failed by a defect", running.training.id)
            training = replace(running.training, state="failed", error="It met an internal error.")
        finally:
            shutil.rmtree(running.order.folder, ignore_errors=True)
        self._metrics.trainings.labels(training.state).inc()
        self._metrics.training_seconds.labels(training.state).inc(time.time() - start)
        self._close(running, replace(training, finished_at=time.time()))

    def _train(self, running: _Running) -> Training:
        start = time.monotonic()
        self._look(running)
        self._note(running, state="running", stage="starting")
        order, limits = running.order, self._limits
        with self._changed:
            self._look(running)
            running.job = self._children.start(
                "train", order.folder, limits.memory_bytes, limits.seconds
            )
        result = self._follow(running, running.job, start + limits.seconds)
        made = order.folder / "version"
        seconds = {**result["seconds"], "total": time.monotonic() - start}
        training = replace(running.training, metrics=result["metrics"], seconds=seconds)
        running.training = training
        self._note(running, stage="recording", progress=0.9)
        self._registry.record_result(
            training, result["params"], order.data_set, order.folder / "report"
        )
        self._look(running)
        version = self._registry.add_version(
            NewVersion(
                name=order.name,
                model_type=order.model_type,
                run_id=training.id,
                folder=made,
                sha256=result["sha256"],
                params=order.params,
                metrics=result["metrics"],
                features=[(name, kind) for name, kind in result["features"]],
            )
        )
        self._note(running, stage="putting in use", progress=0.95, version=version.version)
        used = False
        if order.use:
            change = self._replicas.use(version, f"training {training.id}")
            used = not change.missing
        seconds = {**seconds, "total": time.monotonic() - start}
        return replace(
            running.training, state="succeeded", stage="", progress=1.0, used=used, seconds=seconds
        )

    def _look(self, running: _Running) -> None:
        """Raise JobStopped if somebody wished that this training ends."""
        if running.drained or self._stopping.is_set():
            running.drained = True
            raise JobStopped(_DRAINED)
        if running.cancelled:
            raise JobStopped(_STOPPED)

    def _follow(self, running: _Running, job: Job, deadline: float) -> dict[str, Any]:
        """Wait for the child's result and note its progress; stop it at the deadline."""
        while True:
            try:
                result = job.wait(_LOOK_SECONDS)
            except TimeoutError:
                self._look_at_progress(running)
                if time.monotonic() > deadline:
                    job.stop(f"It took longer than the limit of {self._limits.seconds:g} s.")
                continue
            assert isinstance(result, dict)
            return result

    def _look_at_progress(self, running: _Running) -> None:
        try:
            told = orjson.loads((running.order.folder / "progress.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return
        running.training = replace(
            running.training, stage=told["stage"], progress=0.9 * told["progress"]
        )

    def _note(self, running: _Running, **changes: Any) -> None:
        """Change the record here and, for whoever asks another replica, in MLflow."""
        running.training = replace(running.training, beat_at=time.time(), **changes)
        self._registry.update_training(running.training)
        running.recorded_at = time.monotonic()

    def _close(self, running: _Running, training: Training) -> None:
        running.training = training
        try:
            self._registry.close_training(training)
        except (RegistryUnavailable, TrainingNotFound) as error:
            logger.warning("the end of training %s is not recorded yet: %s", training.id, error)
            with self._changed:
                self._unclosed.append(training)
        with self._changed:
            del self._open[training.id]
        if running.failure is None or isinstance(running.failure, JobFailed):
            running.ended.set_result(training)
        else:
            running.ended.set_exception(running.failure)
        logger.info("training %s %s", training.id, training.state, extra={"model": training.name})

    def _beat(self) -> None:
        """Say every few seconds that what is open here is still worked on."""
        while not self._stopping.wait(BEAT_SECONDS):
            with self._changed:
                beating = list(self._open.values())
                unclosed, self._unclosed = self._unclosed, []
            try:
                for running in beating:
                    beat = replace(running.training, beat_at=time.time())
                    if not running.ended.done():
                        self._registry.update_training(beat)
                while unclosed:
                    self._registry.close_training(unclosed[-1])
                    unclosed.pop()
                self.close_orphans(ORPHAN_SECONDS)
            except TrainingNotFound:
                unclosed = unclosed[:-1]
            except RegistryUnavailable as error:
                logger.debug("%s", error)
            with self._changed:
                self._unclosed.extend(unclosed)
