"""Decides which of the answered rows are counted: all of them, or one in k under high load."""

from collections.abc import Callable
from math import ceil
from time import monotonic

CELLS_A_ROW = 50
"""A row of at most this many cells costs 1; a wider one costs more, in proportion."""

_GOLDEN = 0.6180339887498949
"""The multiples of this number, modulo 1, are evenly spread. So a regular pattern in the traffic
does not decide which rows are counted."""


class Budget:
    """Limits the rows that a replica counts in a second, over all its versions.

    `take` may be called from any thread without a lock: if two threads write at once, the number of
    rows that arrived comes out a little too small, which does no harm.
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
        """Return which of these rows to count: the index of the first, and the step to the next.

        `cost` is the cost of one row; an ordinary row costs 1.
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
        """Return whether to count these few rows, all or none; it takes less time than `take`."""
        self._arrive(rows * cost)
        if self.stride == 1:
            return True
        self._phase = (self._phase + _GOLDEN) % 1.0
        return self._phase * self.stride < 1.0

    def _arrive(self, cost: float) -> None:
        arrived = self._arrived = self._arrived + cost
        if arrived > self._most * self.stride:
            self.stride *= 2  # `renew` sets it anew

    def renew(self) -> None:
        """Begin another second; choose the stride by the rows that arrived in the last one."""
        now = self._clock()
        seconds = max(now - self._began, 1.0)
        self.stride = max(1, ceil(self._arrived / (seconds * self._most)))
        self._began, self._arrived = now, 0.0
