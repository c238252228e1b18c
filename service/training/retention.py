"""What nobody needs any more is deleted after so many days: failed trainings, unused data sets.

Every replica sweeps, in a thread of its own; what another one was first to delete is gone, and that
is all. A run that a registered version came from is never deleted, whatever became of the training.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from service.common.domain import Registry
from service.common.errors import DataSetNotFound, ServiceError, TrainingNotFound

logger = logging.getLogger(__name__)

_DAY = 86_400.0
_PAGE = 1000


class Retention:
    """Deletes what has been there for longer than it is kept."""

    seconds = 3600.0
    """Between two sweeps."""

    def __init__(
        self,
        registry: Registry,
        failed_days: int,
        data_set_days: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keep failed trainings, and data sets that nothing uses, so long; 0: for ever."""
        self._registry = registry
        self._failed_days = failed_days
        self._data_set_days = data_set_days
        self._now = now

    def run(self, stopping: threading.Event) -> None:
        """Sweep every hour until `stopping` is set; what fails is tried again by the next sweep."""
        while (self._failed_days or self._data_set_days) and not stopping.is_set():
            for sweep in (self.sweep_trainings, self.sweep_data_sets):
                try:
                    sweep(stopping)
                except ServiceError as error:
                    logger.warning("what is older than it is kept is deleted later: %s", error)
                except Exception:
                    # The edge of the thread: the next sweep may find it mended.
                    logger.exception("a sweep met a defect")
            stopping.wait(self.seconds)

    def sweep_trainings(self, stopping: threading.Event) -> None:
        """Delete trainings that failed or were cancelled; raises RegistryUnavailable."""
        if not self._failed_days:
            return
        before = self._now() - self._failed_days * _DAY
        found = self._registry.failed_trainings(before)
        # Read afterwards, so that what was registered in between is among these.
        kept = self._runs_of_versions() if found else frozenset()
        for training in found:
            if stopping.is_set():
                return
            if training.id in kept or (training.finished_at or training.created_at) >= before:
                continue
            with contextlib.suppress(TrainingNotFound):
                self._registry.delete_training(training.id)
                logger.info("training %s %s long ago: deleted", training.id, training.state)

    def sweep_data_sets(self, stopping: threading.Event) -> None:
        """Delete data sets of which no version and no open training is; as `sweep_trainings`."""
        if not self._data_set_days:
            return
        before = self._now() - self._data_set_days * _DAY
        found = [
            (data_set, self._registry.trainings_on(data_set))
            for data_set in self._registry.old_data_sets(before)
        ]
        kept = self._runs_of_versions() if found else frozenset()
        for data_set, trainings in found:
            if stopping.is_set():
                return
            if any(not training.ended or training.id in kept for training in trainings):
                continue
            with contextlib.suppress(DataSetNotFound):
                self._registry.delete_rows(data_set, before)
                logger.info("data set %s (%s) is unused: deleted", data_set.name, data_set.id)

    def _runs_of_versions(self) -> frozenset[str]:
        runs: set[str] = set()
        token: str | None = None
        while True:
            page = self._registry.list_versions(None, _PAGE, token)
            runs |= {version.run_id for version in page.items}
            token = page.next_page_token
            if token is None:
                return frozenset(runs)
