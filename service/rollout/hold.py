"""Makes predictions wait while all replicas swap the model in use."""

import asyncio
import threading

HOLD_SECONDS = 0.25
"""Longest hold: the leader that began it may have stopped."""


class Hold:
    """Whether predictions wait; each reads `event` once, before it reads the model in use."""

    def __init__(self) -> None:
        self.event: asyncio.Event | None = None
        """Set at the end of the hold; None while there is no hold."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the event loop that answers predictions; without one a hold has no effect."""
        self._loop = loop

    def held(self) -> bool:
        """Return whether predictions wait; True where no loop answers any."""
        return self._loop is None or self.event is not None

    def engage(self, held: bool) -> None:
        """Begin or end a hold from another thread than the loop's, and wait until that is done."""
        if self._loop is None or self._loop.is_closed():
            return
        done = threading.Event()

        def change() -> None:
            (self.begin if held else self.end)()
            done.set()

        self._loop.call_soon_threadsafe(change)
        done.wait(1)

    def begin(self) -> None:
        """Begin a hold; on the loop."""
        assert self._loop is not None
        if self.event is None:
            self.event = asyncio.Event()
            self._timer = self._loop.call_later(HOLD_SECONDS, self.end)

    def end(self) -> None:
        """End the hold, if there is one; on the loop."""
        if self.event is not None:
            self.event.set()
            self.event = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
