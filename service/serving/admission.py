"""The threads for predictions that are too slow for the event loop, and who may wait for one.

What cannot be answered soon is refused at once: a queue that is longer than the patience of those
who stand in it only makes everybody late.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import ParamSpec, TypeVar

from prometheus_client import Gauge

from service.common.errors import Overloaded
from service.serving.core_pool import usable

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 0.1
_SOON = 0.5
"""Let in are those who are expected to be begun within this share of their patience: what is
expected is not always what comes."""

_LEAST = 4
"""So many are let in however slow the model is."""

_SWITCH_SECONDS = 0.001
"""After so long in Python, a thread lets the event loop go on where it waits for its turn."""

_WEIGHT = 1 / 16
_OUTLIER = 4.0
"""One run counts as so many times the expected seconds at most."""


class Admission:
    """Runs functions in threads, as many at a time as are expected to be begun in 0.05 s."""

    def __init__(self, threads: int, most: int, in_flight: Gauge, cores: int | None = None) -> None:
        """Begin with no work; `cores` are those of this process where it is not said."""
        self.threads = threads
        self._cores = cores or usable()
        self.max_queue_seconds = _PATIENCE
        """Whoever has waited more seconds than this for a thread is refused instead of answered,
        unless it has brought more patience."""
        self._most = most
        self._gauge = in_flight
        self._in_flight = 0
        self._seconds = 0.001
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    def expect(self, seconds: float) -> None:
        """Take note that runs take about so long from now on."""
        self._seconds = max(seconds, 1e-4)

    @staticmethod
    def target_delay(max_queue_seconds: float) -> float:
        """Give in how many seconds one with so much patience has to be expected to be begun."""
        return _SOON * max_queue_seconds

    def max_parallel(self, a_batch: int) -> int:
        """Give how many runs may be under way, where each answers so many.

        Batches that share a core make each other late. Of runs for one alone two are better, also
        on one core: they get more of it where the event loop is busy with refusing others.
        """
        return self.threads if a_batch == 1 else min(self.threads, self._cores)

    def is_full(self, target_delay: float, a_batch: int = 1) -> bool:
        """Tell whether one more is not expected to be begun in so many seconds."""
        max_parallel = self.max_parallel(a_batch)
        ahead = (
            int(target_delay / self._seconds * max_parallel) + max_parallel
        )  # which are begun already
        return self._in_flight >= min(self._most, max(_LEAST, ahead * a_batch))

    @contextmanager
    def admit(self, target_delay: float, a_batch: int = 1) -> Iterator[None]:
        """Count one who waits for an answer; raises Overloaded where it is full."""
        if self.is_full(target_delay, a_batch):
            raise Overloaded
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    async def run(
        self, max_queue_seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function in a thread; raises Overloaded where none is free in so many seconds."""
        with self.admit(self.target_delay(max_queue_seconds)):
            return await self.begin(max_queue_seconds, function, *args, **kwargs)

    def begin(
        self, max_queue_seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Have a function run in a thread, for those who have their places; raises like `run`."""
        asked = perf_counter()

        def work() -> T:
            start = perf_counter()
            if start - asked > max_queue_seconds:
                raise Overloaded
            try:
                return function(*args, **kwargs)
            finally:
                self._learn(perf_counter() - start)

        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _learn(self, seconds: float) -> None:
        # From several threads without a lock: an update that is lost does no harm.
        expected = self._seconds
        self.expect(expected + _WEIGHT * (min(seconds, _OUTLIER * expected) - expected))

    def _count(self, change: int) -> None:
        self._in_flight += change
        self._gauge.set(self._in_flight)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
