"""Holds predictions back for the moment in which all replicas swap the model in use."""

import asyncio
import threading

HOLD_SECONDS = 0.25
"""Longest hold: whoever asked for it may be gone."""


class Hold:
    """Open but for that moment; `shut` is read once by every request for a prediction."""

    def __init__(self) -> None:
        self.event: asyncio.Event | None = None
        """What a request waits for while the gate is closed."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the loop that serves; without one there is nothing to hold back."""
        self._loop = loop

    def held(self) -> bool:
        """Tell whether predictions wait; so they do where no loop answers any."""
        return self._loop is None or self.event is not None

    def engage(self, held: bool) -> None:
        """Close or open it, from a thread that is not the loop's; done when this returns."""
        if self._loop is None or self._loop.is_closed():
            return
        done = threading.Event()

        def change() -> None:
            (self.close if held else self.open)()
            done.set()

        self._loop.call_soon_threadsafe(change)
        done.wait(1)

    def close(self) -> None:
        """Let requests wait; on the loop."""
        assert self._loop is not None
        if self.event is None:
            self.event = asyncio.Event()
            self._timer = self._loop.call_later(HOLD_SECONDS, self.open)

    def open(self) -> None:
        """Let them go on; on the loop."""
        if self.event is not None:
            self.event.set()
            self.event = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
