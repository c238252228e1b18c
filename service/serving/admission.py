"""The rule by which a slow prediction is admitted, or refused at once. All requests follow it.

A request is refused if the work in the queue before it is expected to take longer than the request
should wait. Work is counted in expected seconds, not in requests, so that single rows and requests
of thousands of rows can share a queue without spoiling each other's estimate.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from service.common.errors import Overloaded

_MIN_IN_FLIGHT = 4
"""This many requests are admitted even if the model is very slow."""

_WEIGHT = 1 / 16
_OUTLIER = 4.0
"""A run counts as at most this many times its expected time."""


class Admission:
    """Counts slow predictions; used on the event loop's thread only."""

    def __init__(self, max_in_flight: int, in_flight: Gauge) -> None:
        """Admit at most `max_in_flight` requests at a time; the gauge shows how many there are."""
        self._max_in_flight = max_in_flight
        self._gauge = in_flight
        self._in_flight = 0
        self._waiting_seconds = 0.0
        self._slowness = 1.0
        """Seconds by the clock for each expected second: over 1 if other work uses the cores."""

    def is_full(self, target_seconds: float, parallel: int) -> bool:
        """Return whether to refuse a request that should begin within `target_seconds`.

        `parallel` is how many runs of the queue may be under way at a time.
        """
        if self._in_flight < min(_MIN_IN_FLIGHT, self._max_in_flight):
            return False
        wait = self._waiting_seconds * self._slowness / parallel
        return self._in_flight >= self._max_in_flight or wait >= target_seconds

    @contextmanager
    def admit(self, target_seconds: float, parallel: int) -> Iterator[None]:
        """Count a request until it is answered; raises Overloaded if it is refused."""
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
        """Count work that no longer waits, since it has begun or was given up."""
        self._waiting_seconds = max(0.0, self._waiting_seconds - seconds)

    def learn(self, expected: float, taken: float) -> None:
        """Learn from a run: the seconds that it was expected to take, and those by the clock."""
        ratio = min(taken / max(expected, 1e-4), _OUTLIER * self._slowness)
        self._slowness += _WEIGHT * (ratio - self._slowness)

    def _count(self, change: int) -> None:
        self._in_flight += change
        self._gauge.set(self._in_flight)
