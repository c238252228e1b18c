"""Deletes failed trainings and unused data sets after a number of days.

Every replica sweeps, in a thread; what another one has deleted already is skipped. A run that a
registered version came from is never deleted, even if its training failed.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from service.common.errors import DataSetNotFound, ServiceError, TrainingNotFound
from service.common.ports import Registry

logger = logging.getLogger(__name__)

_DAY = 86_400.0
_PAGE = 1000


class Retention:
    """Deletes what is older than the settings allow."""

    seconds = 3600.0
    """Time between two sweeps."""

    def __init__(
        self,
        registry: Registry,
        failed_days: int,
        data_set_days: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keep failed trainings, and unused data sets, for that many days; 0: for ever."""
        self._registry = registry
        self._failed_days = failed_days
        self._data_set_days = data_set_days
        self._now = now

    def run(self, stopping: threading.Event) -> None:
        """Sweep every hour until `stopping` is set; the next sweep repeats what failed."""
        while (self._failed_days or self._data_set_days) and not stopping.is_set():
            for sweep in (self.sweep_trainings, self.sweep_data_sets):
                try:
                    sweep(stopping)
                except ServiceError as error:
                    logger.warning("a sweep failed and is repeated later: %s", error)
                except Exception:
                    # A defect must not end the thread: the next sweep may succeed.
                    logger.exception("a sweep met a defect")
            stopping.wait(self.seconds)

    def sweep_trainings(self, stopping: threading.Event) -> None:
        """Delete trainings that failed or were cancelled; raises RegistryUnavailable."""
        if not self._failed_days:
            return
        before = self._now() - self._failed_days * _DAY
        trainings = self._registry.failed_trainings(before)
        # Read afterwards, so that what was registered in between is among these.
        registered = self._runs_of_versions() if trainings else frozenset()
        for training in trainings:
            if stopping.is_set():
                return
            if training.id in registered or (training.finished_at or training.created_at) >= before:
                continue
            with contextlib.suppress(TrainingNotFound):
                self._registry.delete_training(training.id)
                logger.info("training %s, which %s, is deleted", training.id, training.state)

    def sweep_data_sets(self, stopping: threading.Event) -> None:
        """Delete data sets that nothing uses; raises RegistryUnavailable."""
        if not self._data_set_days:
            return
        before = self._now() - self._data_set_days * _DAY
        uses = [
            (data_set, self._registry.trainings_on(data_set))
            for data_set in self._registry.old_data_sets(before)
        ]
        registered = self._runs_of_versions() if uses else frozenset()
        for data_set, trainings in uses:
            if stopping.is_set():
                return
            if any(not training.ended or training.id in registered for training in trainings):
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
