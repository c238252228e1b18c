"""Waiting for a cluster to reach a state, with a deadline; nothing else in these tests sleeps."""

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

    Fails if there is none in time, with `what` was awaited and what was `seen` instead.
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
    """Call `action` repeatedly for this many seconds, with a pause after each call."""
    deadline = time.monotonic() + seconds
    waiting = threading.Event()
    while time.monotonic() < deadline:
        action()
        waiting.wait(min(pause, max(0.0, deadline - time.monotonic())))
