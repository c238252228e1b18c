"""Heartbeats of open trainings, and the closing of those whose owner sends none any more."""

import logging
import threading
import time
from collections.abc import Callable, Collection

from service.common.domain import Training
from service.common.errors import RegistryUnavailable, ServiceError, TrainingNotFound
from service.common.metrics import Metrics
from service.common.ports import Registry
from service.training.run import TrainingRun

logger = logging.getLogger(__name__)

SECONDS = 10.0
ORPHAN_SECONDS = 60.0
GONE = "The replica that ran it is gone; send the request again."


class Heartbeats:
    """Records every few seconds, in a thread, that the trainings open here are still running."""

    def __init__(
        self,
        owner: str,
        registry: Registry,
        metrics: Metrics,
        runs: Callable[[], Collection[TrainingRun]],
        take_up: Callable[[Training], None] | None = None,
    ) -> None:
        """`owner`: the id of this replica; `runs` returns the trainings that are open here.

        `take_up` goes on with one that lost its owner; without it, such a one is closed.
        """
        self._take_up = take_up
        self._owner = owner
        self._registry = registry
        self._metrics = metrics
        self._runs = runs
        self._lock = threading.Lock()
        self._unclosed: dict[str, Training] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and try once more to record the ends that MLflow did not take."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        try:
            self.close_late()
        except RegistryUnavailable as error:
            logger.warning("the ends of some trainings are not recorded: %s", error)

    def close(self, training: Training) -> None:
        """Record the end of a training, now or when MLflow answers again."""
        with self._lock:
            self._unclosed[training.id] = training
        try:
            self._record_end(training)
        except RegistryUnavailable as error:
            logger.warning("the end of training %s is not recorded yet: %s", training.id, error)

    def close_orphans(self, older_than: float) -> None:
        """Close as failed each training of another replica without a heartbeat for that long.

        Where trainings outlive their replica, it is taken up instead, or left for the next time.
        """
        now = time.time()
        trainings = self._registry.open_trainings()
        # Read afterwards, so that one that was opened here meanwhile is among these.
        here = {run.training.id for run in self._runs()}
        for training in trainings:
            # A training of this replica may be recorded already and not be in the queue yet.
            limit = ORPHAN_SECONDS if training.owner == self._owner else older_than
            if training.id in here or now - training.beat_at < limit:
                continue
            with self._lock:
                closed = self._unclosed.get(training.id)
            logger.warning("training %s lost its owner", training.id)
            if closed is None and self._take_up is not None:
                try:
                    self._take_up(training)
                except ServiceError as error:
                    logger.warning("training %s is not taken up yet: %s", training.id, error)
                continue
            closed = closed or training.closed("failed", GONE, "service")
            self._registry.close_training(closed)
            self._metrics.trainings.labels(closed.state).inc()

    def _run(self) -> None:
        while not self._stopping.wait(SECONDS):
            try:
                self.beat()
                self.close_late()
                self.close_orphans(ORPHAN_SECONDS)
            except RegistryUnavailable as error:
                logger.debug("%s", error)
            except Exception:
                # A defect must not end the thread: other replicas would close what runs here.
                logger.exception("the heartbeats met a defect")

    def beat(self) -> None:
        """Record that all trainings that are open here are still running."""
        for run in self._runs():
            try:
                self._registry.beat(run.training.id, time.time())
            except TrainingNotFound:
                logger.warning("training %s was deleted in MLflow", run.training.id)

    def close_late(self) -> None:
        """Record the ends that MLflow did not take before; raises RegistryUnavailable."""
        with self._lock:
            late = list(self._unclosed.values())
        for training in late:
            self._record_end(training)

    def _record_end(self, training: Training) -> None:
        try:
            self._registry.close_training(training)
        except TrainingNotFound:
            logger.warning("training %s was deleted in MLflow", training.id)
        with self._lock:
            self._unclosed.pop(training.id, None)
