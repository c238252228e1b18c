"""The thread that has one of two versions answer again what the other answered clients."""

import logging
import threading
from collections.abc import Callable
from time import monotonic

from service.common.traffic import Compared
from service.traffic.comparison import STEP_SECONDS, Allowances, Comparison, Pause, Running

logger = logging.getLogger(__name__)

_LAST_SECONDS = 5.0
"""How long the end of the service waits for a run that is under way."""


class Comparer:
    """Compares what `current` says each second, from `start` until `stop`, by a tenth of a core.

    The counts are those of this process, and begin anew with each epoch. Nothing of a comparison is
    held once `current` returns another one, or None, and the next step is over.
    """

    def __init__(
        self,
        current: Callable[[], Comparison | None],
        clock: Callable[[], float] = monotonic,
        pause: Pause | None = None,
    ) -> None:
        """`current` is called from any thread, and must return at once, without calling this.

        `clock` returns seconds that only grow, and `pause` waits between runs.
        """
        self._current = current
        self._clock = clock
        self._lock = threading.Lock()
        """Held while a comparison begins or ends."""
        self._running: Running | None = None
        self._allowances = Allowances()
        self._stopping = threading.Event()
        self._pause = self._stopping.wait if pause is None else pause
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the comparison."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS)
        with self._lock:
            self._end()

    def step(self) -> None:
        """Compare what was counted since the last step, as far as its time allows."""
        self._allowances.renew()
        running = self._follow()
        if running is not None:
            running.step(self._allowances, self._pause)

    def compared(self, epoch: int) -> Compared | None:
        """Return what was counted in this epoch; None if it is not the current one."""
        running = self._follow()
        return running.compared() if running is not None and running.epoch == epoch else None

    def add_outcomes(
        self, epoch: int, only_in_use_right: int, only_second_right: int, rows: int
    ) -> bool:
        """Add rows whose truth was told; return False if it is not the current epoch.

        Both versions answered each of the `rows`, and the two other numbers are parts of them.
        """
        running = self._follow()
        if running is None or running.epoch != epoch:
            return False
        running.add(
            Compared(
                outcomes=rows,
                only_in_use_right=only_in_use_right,
                only_second_right=only_second_right,
            )
        )
        return True

    def _follow(self) -> Running | None:
        """Return the comparison that is to run; begin or end one where that has changed."""
        with self._lock:
            # Asked here, so that no thread begins again what another one knows to have ended.
            comparison = None if self._stopping.is_set() else self._current()
            running = self._running
            if comparison is None:
                self._end()
            elif running is None or running.epoch != comparison.epoch:
                self._end()
                self._running = Running(comparison)
            return self._running

    def _end(self) -> None:
        if self._running is not None:
            self._running.end()
            self._running = None

    def _run(self) -> None:
        wait = STEP_SECONDS
        while not self._stopping.wait(wait):
            began = self._clock()
            self._step()
            wait = max(0.0, STEP_SECONDS - (self._clock() - began))

    def _step(self) -> None:
        try:
            self.step()
        except Exception:
            # A defect here must end neither the thread nor a prediction.
            logger.exception("comparing two versions met a defect")
