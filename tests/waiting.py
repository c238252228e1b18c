"""Waiting for something to become true, with a deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], seconds: float = 30) -> T:
    """Give the first true value of `condition`; fails when none comes in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < deadline:
        if value := condition():
            return value
        pause.wait(0.02)
    raise AssertionError(f"{condition} did not become true within {seconds} s")
