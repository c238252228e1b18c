"""Trainings: a bounded queue, a thread for each that runs, and the record of them in MLflow."""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace

from service.common.domain import Training
from service.common.errors import QueueFull, TrainingEnded
from service.common.metrics import Metrics
from service.training.heartbeats import Heartbeats
from service.training.run import TrainingRun, TrainingServices, TrainingSpec

logger = logging.getLogger(__name__)

_CANCEL_SECONDS = 15.0


class TrainingQueue:
    """Runs the trainings of this replica."""

    def __init__(self, owner: str, services: TrainingServices, metrics: Metrics) -> None:
        self._owner = owner
        self._services = services
        self._metrics = metrics
        self._changed = threading.Condition()
        self._waiting: deque[TrainingRun] = deque()
        self._open: dict[str, TrainingRun] = {}
        self._opening = 0
        self._stopping = False
        self.beats = Heartbeats(services.registry, metrics, self._runs)
        self._threads = [
            threading.Thread(target=self._work, name=f"trainer-{index}", daemon=True)
            for index in range(services.limits.at_once)
        ]

    def start(self) -> None:
        """Begin to take trainings."""
        for thread in self._threads:
            thread.start()
        self.beats.start()

    def stop(self) -> None:
        """Stop the trainings that are open, record that, and take no more."""
        with self._changed:
            self._stopping = True
            for run in self._open.values():
                run.drain()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)
        self.beats.stop()

    def check_room(self) -> None:
        """Raise QueueFull where no more trainings may wait."""
        with self._changed:
            self._check_room()

    def _check_room(self) -> None:
        limits = self._services.limits
        if len(self._open) + self._opening >= limits.at_once + limits.queued or self._stopping:
            raise QueueFull(len(self._waiting))

    def submit(self, order: TrainingSpec, details: Mapping[str, str]) -> Training:
        """Accept a training: record it and put it in the queue.

        Raises QueueFull or RegistryUnavailable; then the order's folder is the caller's again.
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
                    name=order.name,
                    model_type=order.model_type,
                    stage="waiting",
                    data_set=order.data_set.name,
                    owner=self._owner,
                    beat_at=now,
                ),
                details,
            )
        except BaseException:
            with self._changed:
                self._opening -= 1
            raise
        with self._changed:
            self._opening -= 1
            run = self._open[training.id] = TrainingRun(training, order)
            late = self._stopping
            if not late:
                self._waiting.append(run)
                self._metrics.trainings_queued.set(len(self._waiting))
                self._changed.notify()
        if late:  # the threads are gone, or going
            run.drain()
            self._end(run, run.run(self._services))
        return run.training

    def get(self, identifier: str) -> Training:
        """Give a training, with the progress of this moment if it runs here."""
        run = self.run(identifier)
        if run is None:
            return self._services.registry.get_training(identifier)
        return run.training

    def current(self, training: Training) -> Training:
        """Give the newest that is known of a training that the registry listed."""
        run = self.run(training.id)
        return training if run is None else run.training

    def run(self, identifier: str) -> TrainingRun | None:
        """Give a training that is open here."""
        with self._changed:
            return self._open.get(identifier)

    def cancel(self, identifier: str) -> Training:
        """Cancel a training; raises TrainingNotFound or TrainingEnded."""
        with self._changed:
            run = self._open.get(identifier)
            waits = run in self._waiting
            if run is not None and waits:
                self._waiting.remove(run)
                self._metrics.trainings_queued.set(len(self._waiting))
        if run is None:
            return self._cancel_elsewhere(identifier)
        run.cancel()
        if waits:
            self._end(run, run.run(self._services))
        training = _result_within(run.ended, _CANCEL_SECONDS) or run.training
        if training.state == "succeeded":
            raise TrainingEnded(identifier, training.state)
        return training

    def _cancel_elsewhere(self, identifier: str) -> Training:
        """Close a training that is not open here: one that ended, or that lost its owner."""
        training = self._services.registry.get_training(identifier)
        if training.ended:
            raise TrainingEnded(identifier, training.state)
        now = time.time()
        closed = replace(training, state="cancelled", finished_at=now, error="It was cancelled.")
        self._services.registry.close_training(closed)
        return closed

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
                # The edge of the thread: a defect of ours must not end the queue with it.
                logger.exception("the end of training %s met a defect", run.training.id)

    def _end(self, run: TrainingRun, training: Training) -> None:
        """Record the end of a training, and let those know who wait for it."""
        try:
            # MLflow's clock, which said when it was opened, may be ahead of ours.
            seconds = max(0.0, (training.finished_at or 0.0) - training.created_at)
            self._metrics.trainings.labels(training.state).inc()
            self._metrics.training_seconds.labels(training.state).inc(seconds)
            self.beats.close(training)
        finally:
            with self._changed:
                del self._open[training.id]
            run.ended.set_result(training)
        logger.info("training %s %s", training.id, training.state, extra={"model": training.name})


def _result_within(ended: Future[Training], seconds: float) -> Training | None:
    try:
        return ended.result(timeout=seconds)
    except TimeoutError:
        return None
