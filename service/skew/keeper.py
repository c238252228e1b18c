"""A thread that counts the answered rows, so that no request waits, and stores the counts."""

import logging
import threading
from collections.abc import Callable
from math import inf
from time import monotonic

from service.skew.store import Store, save
from service.skew.tallies import Tallies

logger = logging.getLogger(__name__)

_SECONDS = 1.0
"""The time between two counts. Until then the rows themselves are kept, as many as the budget of
that time allows."""
_REFRESH_SECONDS = 5.0
_WRITE_SECONDS = 60.0
_LAST_SECONDS = 5.0
"""When the service ends, it waits this long for MLflow to take the last counts."""


class Keeper:
    """Counts every second, and writes the counts each minute, from `start` until `stop`."""

    def __init__(
        self,
        tallies: Tallies,
        store: Store,
        clock: Callable[[], float] = monotonic,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        """`refresh` is called every few seconds, after the rows are counted."""
        self._refresh = refresh
        self._refreshed_at = -inf
        self.tallies = tallies
        self.store = store
        self._clock = clock
        self._written_at = clock()
        self._tried: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skew", daemon=True)

    def start(self) -> None:
        """Begin, unless nothing is counted."""
        if self.tallies.is_on:
            self._thread.start()

    def stop(self) -> None:
        """End the thread, which counts and writes what is left, if MLflow answers soon."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS)

    def step(self, now: bool = False) -> None:
        """Count what has been answered since the last time; write it each minute, or now."""
        self.tallies.budget.renew()
        is_due = now or self._clock() - self._written_at >= _WRITE_SECONDS
        if is_due:
            self._written_at = self._clock()
        for tally in self.tallies.all():
            tally.drain()
            if is_due or not (tally.restored or tally.key in self._tried):
                save(self.store, tally, is_due)
        if self._clock() - self._refreshed_at >= _REFRESH_SECONDS:
            self._refreshed_at = self._clock()
            self._refresh()
        # Counts that could not be read back are tried again only when they are due to be written.
        self._tried = {tally.key for tally in self.tallies.all()}

    def _run(self) -> None:
        while not self._stopping.wait(_SECONDS):
            self._step()
        self._step(now=True)

    def _step(self, now: bool = False) -> None:
        try:
            self.step(now)
        except Exception:
            # A defect here must end neither the thread nor a prediction.
            logger.exception("counting what was answered met a defect")
