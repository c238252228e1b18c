"""Waiting for a cluster to reach a state, with a deadline. Nothing else in these tests pauses."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    what: str,
    condition: Callable[[], T | None],
    seconds: float,
    *,
    pause: float = 0.5,
    seen: Callable[[], object] | None = None,
) -> T:
    """Return the first true value of `condition`.

    Fails when none comes in time, and says `what` was waited for and what was `seen` instead.
    """
    deadline = time.monotonic() + seconds
    waiting = threading.Event()
    while True:
        if value := condition():
            return value
        if time.monotonic() >= deadline:
            instead = f"; seen: {seen()}" if seen is not None else ""
            raise AssertionError(f"not within {seconds:g} s: {what}{instead}")
        waiting.wait(pause)


def repeat(action: Callable[[], object], seconds: float, *, pause: float) -> None:
    """Do the same again and again for so many seconds, with a pause after each time."""
    deadline = time.monotonic() + seconds
    waiting = threading.Event()
    while time.monotonic() < deadline:
        action()
        waiting.wait(min(pause, max(0.0, deadline - time.monotonic())))
