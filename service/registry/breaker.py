"""A circuit breaker: whoever does not answer is not asked by every request."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from service.common.errors import RegistryUnavailable

FAILURES: Final = 3
"""So many failures in a row, and it opens."""
OPEN_SECONDS: Final = 5.0
"""So long after the last failure one call is let through, to find out."""


class Breaker:
    """Refuses calls while the last ones have not been answered; may be used by several threads.

    A request that waits for a server which accepts and says nothing holds a thread for seconds;
    enough of them hold all.
    """

    def __init__(
        self,
        is_failure: Callable[[BaseException], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_failure` tells an error by which nobody answered from one that is an answer."""
        self._is_failure = is_failure
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._again_at = 0.0
        self._on_trial = False

    @contextmanager
    def call(self, *, vital: bool = False) -> Iterator[None]:
        """Make a call; raises RegistryUnavailable where it is not to be made.

        A vital one is always made, and counts like others: the poll is one, so that an answer is
        noticed at once.
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
        """Let a call through, and tell whether it is a trial."""
        with self._lock:
            if self._failures < FAILURES:
                return False
            left = self._again_at - self._clock()
            if left > 0 or self._on_trial:
                raise RegistryUnavailable(
                    f"it has not answered {self._failures} times in a row, and is asked again in "
                    f"{max(left, 1.0):.0f} s."
                )
            self._on_trial = True
            return True

    def _count(self, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            self._again_at = self._clock() + OPEN_SECONDS
