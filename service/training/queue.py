"""The trainings of this replica: a bounded queue, and a thread for each that runs."""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace

from service.common.domain import Training
from service.common.errors import QueueFull, ServiceError, TrainingEnded
from service.common.metrics import Metrics
from service.training.heartbeats import GONE, ORPHAN_SECONDS, Heartbeats
from service.training.run import TrainingRun
from service.training.services import TrainingServices
from service.training.spec import TrainingSpec

logger = logging.getLogger(__name__)

_CANCEL_SECONDS = 15.0


class TrainingQueue:
    """Queues, runs and cancels trainings; each has a record in MLflow."""

    def __init__(self, owner: str, services: TrainingServices, metrics: Metrics) -> None:
        self._owner = owner
        self._services = services
        self._metrics = metrics
        self._changed = threading.Condition()
        self._waiting: deque[TrainingRun] = deque()
        self._open: dict[str, TrainingRun] = {}
        self._opening = 0
        self._stopping = False
        take_up = self.take_up if services.executor.outlives else None
        self.heartbeats = Heartbeats(owner, services.registry, metrics, self._runs, take_up)
        self._threads = [
            threading.Thread(target=self._work, name=f"trainer-{index}", daemon=True)
            for index in range(services.limits.at_once)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        self.heartbeats.start()

    def stop(self) -> None:
        """Stop and close all open trainings, or let them go, and accept no more."""
        outlives = self._services.executor.outlives
        with self._changed:
            self._stopping = True
            waiting = list(self._waiting) if outlives else []
            for run in waiting:
                self._waiting.remove(run)
            for run in self._open.values():
                if outlives:
                    run.let_go()
                else:
                    run.drain()
            self._changed.notify_all()
        for run in waiting:
            self._end(run, run.training)
        for thread in self._threads:
            thread.join(timeout=10)
        self.heartbeats.stop()

    def check_room(self) -> None:
        """Raise QueueFull where the queue is full, or the service is stopping."""
        with self._changed:
            self._check_room()

    def _check_room(self) -> None:
        limits = self._services.limits
        if len(self._open) + self._opening >= limits.at_once + limits.queued or self._stopping:
            raise QueueFull(len(self._waiting))

    def submit(self, spec: TrainingSpec, details: Mapping[str, str]) -> Training:
        """Record a training and put it in the queue.

        Raises QueueFull or RegistryUnavailable; then the caller has to remove the spec's folder.
        """
        with self._changed:
            self._check_room()
            self._opening += 1
        try:
            now = time.time()
            training = self._services.registry.open_training(
                Training(
                    id="",
                    state="queued",
                    created_at=now,
                    name=spec.name,
                    model_type=spec.model_type,
                    stage="waiting",
                    data_set=spec.data_set.name,
                    notes=spec.data_set.notes,
                    search=spec.search,
                    owner=self._owner,
                    beat_at=now,
                ),
                details,
            )
        except BaseException:
            with self._changed:
                self._opening -= 1
            raise
        run = TrainingRun(training, spec)
        with self._changed:
            self._opening -= 1
            self._open[training.id] = run
        try:
            self._services.executor.prepare(training, spec)
        except ServiceError as error:
            self._end(run, training.closed("failed", str(error), "service"))
            raise
        self._enqueue(run)
        return run.training

    def _enqueue(self, run: TrainingRun) -> None:
        with self._changed:
            is_stopping = self._stopping
            if not is_stopping:
                self._waiting.append(run)
                self._metrics.trainings_queued.set(len(self._waiting))
                self._changed.notify()
        if not is_stopping:
            return
        # No thread takes it any more.
        if self._services.executor.outlives:
            self._end(run, run.training)
        else:
            run.drain()
            self._end(run, run.run(self._services))

    def take_up(self, training: Training) -> None:
        """Go on with a training that its owner has left, unless another replica does.

        Raises RegistryUnavailable, ChangeUnderWay or ReplicaSilent: then it is for a later time.
        """
        services = self._services
        with services.coordinator.exclusively():
            # Read again: nobody else can take it up now.
            found = services.registry.get_training(training.id)
            if found.ended or (found.owner, found.beat_at) != (training.owner, training.beat_at):
                return
            taken = replace(found, owner=self._owner, beat_at=time.time())
            services.registry.update_training(taken)
        logger.warning("training %s is taken up", training.id)
        try:
            spec = services.executor.spec_of(taken)
        except ServiceError:
            # Left again, for another attempt.
            services.registry.beat(training.id, 0.0)
            raise
        if spec is None:
            self.heartbeats.close(taken.closed("failed", GONE, "service"))
            return
        run = TrainingRun(taken, spec)
        with self._changed:
            self._open[training.id] = run
        self._enqueue(run)

    def get(self, identifier: str) -> Training:
        """Return a training; if it is open here, with its present progress."""
        run = self.run(identifier)
        if run is None:
            return self._services.registry.get_training(identifier)
        return run.training

    def current(self, training: Training) -> Training:
        """Return a training that the registry listed, as it is now if it is open here."""
        run = self.run(training.id)
        return training if run is None else run.training

    def run(self, identifier: str) -> TrainingRun | None:
        """Return a training that is open here, or None."""
        with self._changed:
            return self._open.get(identifier)

    def cancel(self, identifier: str) -> Training:
        """Cancel a training, whichever replica runs it.

        Raises TrainingNotFound, TrainingEnded, or ReplicaSilent where its owner may be running it
        and does not answer; then nothing is recorded.
        """
        cancelled = self.cancel_here(identifier, _CANCEL_SECONDS)
        return self._cancel_elsewhere(identifier) if cancelled is None else cancelled

    def cancel_here(self, identifier: str, seconds: float) -> Training | None:
        """Cancel a training that is open here and wait up to `seconds` for its end.

        Return None where it is not open here; raises TrainingEnded where it succeeded before.
        """
        with self._changed:
            run = self._open.get(identifier)
            is_queued = run in self._waiting
            if run is not None and is_queued:
                self._waiting.remove(run)
                self._metrics.trainings_queued.set(len(self._waiting))
        if run is None:
            return None
        run.cancel()
        if is_queued:
            self._end(run, run.run(self._services))
        training = _result_within(run.ended, seconds) or run.training
        if training.state == "succeeded":
            raise TrainingEnded(identifier, training.state)
        return training

    def _cancel_elsewhere(self, identifier: str) -> Training:
        """Have another replica cancel a training, or close it if no replica runs it."""
        training = self._open_record(identifier)
        try:
            is_cancelled = self._services.coordinator.cancel(identifier, training.owner)
        except ServiceError:
            if time.time() - training.beat_at < ORPHAN_SECONDS:
                raise  # its owner may be running it
            is_cancelled = False
        if is_cancelled:
            return self._services.registry.get_training(identifier)
        # Read again: it may have ended while its owner was asked.
        closed = self._open_record(identifier).closed("cancelled", "It was cancelled.")
        self._services.registry.close_training(closed)
        self._services.executor.end(closed)
        return closed

    def _open_record(self, identifier: str) -> Training:
        training = self._services.registry.get_training(identifier)
        if training.ended:
            raise TrainingEnded(identifier, training.state)
        return training

    def _runs(self) -> list[TrainingRun]:
        with self._changed:
            return list(self._open.values())

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
                run = self._waiting.popleft()
                self._metrics.trainings_queued.set(len(self._waiting))
            try:
                with self._metrics.trainings_running.track_inprogress():
                    self._end(run, run.run(self._services))
            except Exception:
                # A defect in one training must not end the thread.
                logger.exception("the end of training %s met a defect", run.training.id)

    def _end(self, run: TrainingRun, training: Training) -> None:
        """Record the end of a training and release the clients that wait for it.

        One that has not ended is left to another replica.
        """
        if not training.ended:
            self._leave(run, training)
            return
        try:
            # `created_at` is by MLflow's clock, which may be ahead of this machine's.
            seconds = max(0.0, (training.finished_at or 0.0) - training.created_at)
            self._metrics.trainings.labels(training.state).inc()
            self._metrics.training_seconds.labels(training.state).inc(seconds)
            self.heartbeats.close(training)
            self._services.executor.end(training)
        finally:
            with self._changed:
                del self._open[training.id]
            run.ended.set_result(training)
        logger.info("training %s %s", training.id, training.state, extra={"model": training.name})

    def _leave(self, run: TrainingRun, training: Training) -> None:
        """Have another replica take a training up at once, if this one still has it."""
        registry = self._services.registry
        with self._changed:
            del self._open[training.id]
        try:
            training = registry.get_training(training.id)
            if training.owner == self._owner and not training.ended:
                registry.beat(training.id, 0.0)
        except ServiceError as error:
            # Its beats have ended, so it is taken up later.
            logger.warning("training %s is left without a word: %s", training.id, error)
        run.ended.set_result(training)


def _result_within(ended: Future[Training], seconds: float) -> Training | None:
    try:
        return ended.result(timeout=seconds)
    except TimeoutError:
        return None
