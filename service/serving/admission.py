"""The rule that admits a slow prediction or refuses it at once, the same for every kind of request.

A request is refused if the work that waits before it is expected to keep it longer than it should
have to wait. Work is counted in expected seconds, not in requests, so that single rows and requests
of thousands of rows can share a queue without spoiling each other's estimate.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from service.common.errors import Overloaded

_MIN_IN_FLIGHT = 4
"""Requests admitted however slow the model is."""

_WEIGHT = 1 / 16
_OUTLIER = 4.0
"""A run counts as at most this many times the time that was expected of it."""


class Admission:
    """Counts slow predictions; used on the event loop's thread only."""

    def __init__(self, max_in_flight: int, in_flight: Gauge) -> None:
        """Admit at most `max_in_flight` requests at a time; the gauge shows how many there are."""
        self._max_in_flight = max_in_flight
        self._gauge = in_flight
        self._in_flight = 0
        self._waiting_seconds = 0.0
        self._slowness = 1.0
        """Seconds of the clock that an expected second takes: other work shares the cores."""

    def is_full(self, target_seconds: float, parallel: int) -> bool:
        """Return whether a request that should begin within `target_seconds` is refused.

        `parallel` is the number of runs that the queue has under way at a time.
        """
        if self._in_flight < min(_MIN_IN_FLIGHT, self._max_in_flight):
            return False
        wait = self._waiting_seconds * self._slowness / parallel
        return self._in_flight >= self._max_in_flight or wait >= target_seconds

    @contextmanager
    def admit(self, target_seconds: float, parallel: int) -> Iterator[None]:
        """Count a request until it is answered; raises Overloaded where it is refused."""
        if self.is_full(target_seconds, parallel):
            raise Overloaded
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def enqueue(self, seconds: float) -> None:
        """Count work that waits from now on, in expected seconds."""
        self._waiting_seconds += seconds

    def dequeue(self, seconds: float) -> None:
        """Count work that waits no longer: it has begun, or was given up."""
        self._waiting_seconds = max(0.0, self._waiting_seconds - seconds)

    def learn(self, expected: float, taken: float) -> None:
        """Take note of a run: the seconds expected of it, and those of the clock that it took."""
        ratio = min(taken / max(expected, 1e-4), _OUTLIER * self._slowness)
        self._slowness += _WEIGHT * (ratio - self._slowness)

    def _count(self, change: int) -> None:
        self._in_flight += change
        self._gauge.set(self._in_flight)
