"""A circuit breaker for calls to a server that does not answer."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from service.common.errors import RegistryUnavailable

FAILURES: Final = 3
"""Failures in a row after which it opens."""
OPEN_SECONDS: Final = 5.0
"""Seconds after the last failure until one call is let through as a trial."""


class Breaker:
    """Refuses calls after several in a row went unanswered; may be used by several threads.

    Each call to a server that accepts connections and never answers occupies a thread for seconds,
    so that without a breaker a few of them would occupy all threads.
    """

    def __init__(
        self,
        is_failure: Callable[[BaseException], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_failure`: whether an error means that no answer came; other errors are answers."""
        self._is_failure = is_failure
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._again_at = 0.0
        self._on_trial = False

    @contextmanager
    def call(self, *, vital: bool = False) -> Iterator[None]:
        """Make a call in the block; raises RegistryUnavailable while the breaker is open.

        A vital call, such as a poll, is always made. Its answer closes the breaker at once.
        """
        trial = False if vital else self._admit()
        try:
            yield
        except Exception as error:
            self._count(self._is_failure(error))
            raise
        else:
            self._count(False)
        finally:
            if trial:
                self._on_trial = False

    def _admit(self) -> bool:
        """Let a call through, and return whether it is a trial."""
        with self._lock:
            if self._failures < FAILURES:
                return False
            seconds = self._again_at - self._clock()
            if seconds > 0 or self._on_trial:
                raise RegistryUnavailable(
                    f"it has not answered {self._failures} times in a row, and is asked again in "
                    f"{max(seconds, 1.0):.0f} s."
                )
            self._on_trial = True
            return True

    def _count(self, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            self._again_at = self._clock() + OPEN_SECONDS
