"""TCP connections on this machine that can be cut: a wire forwards, holds, refuses or fails."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Literal

Mode = Literal["open", "held", "refused", "failing"]
"""Held: connections are accepted, and nothing passes until it is open again; then all passes, late.
Failing: every request is answered with 500."""

_FAILURE = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n"
    b"content-type: text/plain\r\nconnection: close\r\n\r\nno"
)


class Wires:
    """A thread whose loop carries all wires."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._thread.start()
        self._all: list[Wire] = []

    def to(self, port: int) -> "Wire":
        """Create a wire to a port of this machine."""
        wire = Wire(self, port)
        self._all.append(wire)
        wire.set("open")
        return wire

    def run(self, step: Coroutine[Any, Any, None]) -> None:
        """Run a step on the loop, and wait for it."""
        asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    def close(self) -> None:
        """Cut all wires, and end the thread."""
        for wire in self._all:
            wire.close()
        self.run(_end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Wire:
    """One port that leads to another one."""

    def __init__(self, wires: Wires, target: int) -> None:
        self._wires = wires
        self._target = target
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._mode: Mode = "refused"
        self._passing = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self.tripwire: tuple[bytes, Callable[[], None]] | None = None
        """A text to look for in the data, and a function to call once before it passes."""

    @property
    def url(self) -> str:
        """The address that clients of the wire connect to."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, mode: Mode, drop: bool = False) -> None:
        """Change the mode at once; `drop`: held data is lost instead of late."""
        self._wires.run(self._set(mode, drop))

    def close(self) -> None:
        """Refuse all connections from now on."""
        self._wires.run(self._set("refused", True))
        self._socket.close()

    async def _set(self, mode: Mode, drop: bool) -> None:
        if mode == self._mode:
            return
        self._mode = mode
        if drop or mode in ("refused", "failing"):
            for writer in self._open:
                writer.transport.abort()
        if mode == "held":
            self._passing.clear()
        else:
            self._passing.set()
        if mode == "refused" and self._server is not None:
            # Bound, but not listening: the port stays reserved and connections are refused.
            self._server.close()
            self._server = None
            self._socket = _bound(self.port)
        elif mode != "refused" and self._server is None:
            self._server = await asyncio.start_server(self._carry, sock=self._socket)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if self._mode == "failing":
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_FAILURE)
                await writer.drain()
                return
            await self._passing.wait()
            back, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(there)
            await asyncio.gather(self._pump(reader, there), self._pump(back, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if self._mode != "failing":
                writer.transport.abort()
        finally:
            for end in (writer, there):
                if end is not None:
                    self._open.discard(end)
                    end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while part := await reader.read(65_536):
                if self.tripwire is not None and self.tripwire[0] in part:
                    met, self.tripwire = self.tripwire[1], None
                    met()
                await self._passing.wait()
                writer.write(part)
                await writer.drain()
            await self._passing.wait()
        except OSError:
            pass
        # What a client sent before it left still arrives at the other end.
        if writer.can_write_eof() and not writer.transport.is_closing():
            writer.write_eof()


def _bound(port: int) -> socket.socket:
    # The protocol is explicit, as otherwise asyncio leaves Nagle's algorithm on, which delays the
    # second of two small writes by 40 ms.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


async def _end_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
