"""How many of the answered rows are counted: all, or one in k where more come than may cost."""

from collections.abc import Callable
from math import ceil
from time import monotonic

CELLS_A_ROW = 50
"""Cells up to which a row costs as much as any; a wider one counts as several."""

_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are evenly spread, however regular the traffic is."""


class Budget:
    """Shared by all versions of a replica.

    `take` may be called from any thread: a count that two threads lose between them only makes the
    sum a little smaller.
    """

    def __init__(self, rows_per_second: int, clock: Callable[[], float] = monotonic) -> None:
        self._most = rows_per_second
        self._clock = clock
        self._began = clock()
        self._arrived = 0.0
        self._phase = 0.0
        self.stride = 1
        """One row in this many is counted."""

    def take(self, rows: int, cost: float) -> tuple[int, int]:
        """Return the first row to count of this many, and the distance to the next ones.

        `cost` is that of one row, 1 for an ordinary one.
        """
        self._arrive(rows * cost)
        stride = self.stride
        if rows * cost > self._most * stride:
            stride = ceil(rows * cost / self._most)
        if stride == 1:
            return 0, 1
        self._phase = (self._phase + _GOLDEN) % 1.0
        return int(self._phase * stride), stride

    def takes(self, rows: int, cost: float) -> bool:
        """Return whether to count these few rows, all or none: quicker than `take` for a run."""
        self._arrive(rows * cost)
        if self.stride == 1:
            return True
        self._phase = (self._phase + _GOLDEN) % 1.0
        return self._phase * self.stride < 1.0

    def _arrive(self, cost: float) -> None:
        arrived = self._arrived = self._arrived + cost
        if arrived > self._most * self.stride:
            self.stride *= 2  # until the next `renew` knows better

    def renew(self) -> None:
        """Begin another second: the last one shows how many rows come."""
        now = self._clock()
        seconds = max(now - self._began, 1.0)
        self.stride = max(1, ceil(self._arrived / (seconds * self._most)))
        self._began, self._arrived = now, 0.0
