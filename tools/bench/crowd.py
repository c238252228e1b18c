"""Requests at a fixed rate over many connections, independent of the replies (open loop).

Half of them use keep-alive connections, as many as needed; each other one uses a new connection.
A request that would exceed the limit of connections is not sent, which lowers the offered rate.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_MOST_CONNECTIONS = 500
_PATIENCE_SECONDS = 10.0
_TICK_SECONDS = 0.002


@dataclass(slots=True)
class Outcome:
    """The outcome of the requests at one rate."""

    offered: float
    """Requests a second that were sent."""
    seconds: float
    accepted: list[float] = field(default_factory=list)
    """Latencies of the requests that got 200, in seconds."""
    refused: list[float] = field(default_factory=list)
    """Latencies of those that got 503 or 429 with a Retry-After of 1 to 5 seconds and a problem."""
    failed: int = 0
    """Anything else: other replies, no reply, no connection."""

    @property
    def goodput(self) -> float:
        """The number of requests per second that got 200."""
        return len(self.accepted) / self.seconds


@contextmanager
def _no_collection() -> Iterator[None]:
    """Disable garbage collection, which takes 0.1 s with all that a benchmark imports."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Connection(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._received = bytearray()
        self._reply: asyncio.Future[tuple[bytes, bytes]] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc or ConnectionResetError("closed without a reply"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = bytes(self._received).partition(b"\r\n\r\n")
        if not end or self._reply is None:
            return
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if len(body) >= int(length) and not self._reply.done():
            self._received.clear()
            self._reply.set_result((head, body))

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a request; return the head and the body of its reply."""
        self._reply = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._reply


class Crowd:
    """Sends one request repeatedly; must be used within an event loop."""

    def __init__(self, port: int, body: bytes, key: str | None = None) -> None:
        self._port = port
        head = b"POST /predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        if key is not None:
            head += b"authorization: Bearer %b\r\n" % key.encode()
        end = b"content-length: %d\r\n\r\n%b" % (len(body), body)
        self._kept = head + end
        self._fresh = head + b"connection: close\r\n" + end
        self._idle: list[_Connection] = []

    async def closed_loop(self, connections: int, seconds: float) -> float:
        """Return the replies per second when each client sends as soon as it has its reply."""
        outcome = Outcome(0.0, seconds)
        end = time.perf_counter() + seconds

        async def again() -> None:
            fresh = False
            while time.perf_counter() < end:
                await self._one(outcome, fresh)
                fresh = not fresh

        await asyncio.gather(*(again() for _ in range(connections)))
        return outcome.goodput

    async def at(self, per_second: float, seconds: float) -> Outcome:
        """Send at this rate for this many seconds; return the outcome once all are answered."""
        with _no_collection():
            return await self._at(per_second, seconds)

    async def _at(self, per_second: float, seconds: float) -> Outcome:
        outcome = Outcome(per_second, seconds)
        begin = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        sent = due = 0
        while (now := time.perf_counter() - begin) < seconds:
            for index in range(due, int(now * per_second)):
                if len(tasks) >= _MOST_CONNECTIONS:
                    break
                task = asyncio.create_task(self._one(outcome, fresh=index % 2 == 0))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            due = int(now * per_second)
            await asyncio.sleep(_TICK_SECONDS)
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE_SECONDS)
        outcome.failed += len(tasks)
        for task in tasks:
            task.cancel()
        outcome.offered = sent / seconds
        return outcome

    def close(self) -> None:
        """Close the keep-alive connections."""
        for connection in self._idle:
            connection.transport.abort()

    async def _one(self, outcome: Outcome, fresh: bool) -> None:
        start = time.perf_counter()
        try:
            connection = await self._connection(fresh)
            head, body = await connection.ask(self._fresh if fresh else self._kept)
        except (OSError, asyncio.IncompleteReadError):
            outcome.failed += 1
            return
        taken = time.perf_counter() - start
        if fresh or b"connection: close" in head.lower():
            connection.transport.close()
        elif not connection.closed:
            self._idle.append(connection)
        status = head.split(b" ", 2)[1]
        if status == b"200":
            outcome.accepted.append(taken)
        elif status in (b"503", b"429") and _is_fair(head, body):
            outcome.refused.append(taken)
        else:
            outcome.failed += 1

    async def _connection(self, fresh: bool) -> _Connection:
        while self._idle and not fresh:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        return connection


def _is_fair(head: bytes, body: bytes) -> bool:
    """Return whether a refusal has a Retry-After of 1 to 5 seconds and a problem as body."""
    wait = head.lower().partition(b"retry-after:")[2].split(b"\r\n")[0].strip()
    return wait in (b"1", b"2", b"3", b"4", b"5") and b'"type":"/problems/' in body
