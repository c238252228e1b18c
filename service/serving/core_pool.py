"""Threads that share the work of one large request."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

P = TypeVar("P")
T = TypeVar("T")


def usable() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


class CorePool:
    """Shares the parts of a request among all cores; may be called from any thread.

    The calling thread works too. It does all parts itself if other requests keep the pool busy. The
    function should release the GIL, as ONNX Runtime does.
    """

    def __init__(self, count: int | None = None) -> None:
        """Use this many cores; by default all that this process may run on."""
        self.count = count or usable()
        helpers = self.count - 1
        self._pool = ThreadPoolExecutor(helpers, "cores") if helpers else None

    def map(self, function: Callable[[P], T], parts: Sequence[P]) -> list[T]:
        """Return the function's result for each part, in order; raises what it raises."""
        todo = deque(enumerate(parts))
        done: dict[int, T] = {}

        def work() -> None:
            while todo:
                try:
                    index, part = todo.popleft()
                except IndexError:  # another thread took the last part
                    return
                try:
                    done[index] = function(part)
                except BaseException:
                    todo.clear()
                    raise

        helpers = self._helpers(work, min(self.count, len(parts)) - 1)
        try:
            work()
        finally:
            working = [helper for helper in helpers if not helper.cancel()]
            errors = [helper.exception() for helper in working]
        for error in errors:
            if error is not None:
                raise error
        return [done[index] for index in range(len(parts))]

    def _helpers(self, work: Callable[[], None], count: int) -> list[Future[None]]:
        if self._pool is None:
            return []
        try:
            return [self._pool.submit(work) for _ in range(count)]
        except RuntimeError:  # the service ends, and the pool is closed
            return []

    def close(self) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
