"""The thread that counts what was answered, off the path of requests."""

import logging
import threading

from service.skew.tallies import Tallies

logger = logging.getLogger(__name__)

_SECONDS = 1.0
"""Between two counts: until then rows are kept as they are, within the budget of that time."""


class Keeper:
    """Counts every second, from `start` until `stop`."""

    def __init__(self, tallies: Tallies) -> None:
        self.tallies = tallies
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="skew", daemon=True)

    def start(self) -> None:
        """Begin, unless nothing is counted."""
        if self.tallies.is_on:
            self._thread.start()

    def stop(self) -> None:
        """End the thread, after it has counted what is left."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def step(self) -> None:
        """Count what has been answered since the last time."""
        self.tallies.budget.renew()
        for tally in self.tallies.all():
            tally.drain()

    def _run(self) -> None:
        while not self._stopping.wait(_SECONDS):
            try:
                self.step()
            except Exception:
                # A defect here must end no prediction, and not the counting of other versions.
                logger.exception("counting what was answered met a defect")
