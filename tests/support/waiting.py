"""Waiting for something to become true, with a deadline."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], seconds: float = 30) -> T:
    """Return the first true value of `condition`; fail if there is none in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < deadline:
        if value := condition():
            return value
        pause.wait(0.02)
    raise AssertionError(f"{condition} did not become true within {seconds} s")


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Let the event loop go on until `condition` is true; fail if it is not in time."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0)


def stop(pid: int) -> None:
    """Stop a process and wait until it has stopped, as running threads go on for a moment."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(_is_stopped(task) for task in Path(f"/proc/{pid}/task").iterdir()))


def _is_stopped(task: Path) -> bool:
    return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
