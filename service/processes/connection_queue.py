"""Connections that several threads share, lent in the order in which the threads ask."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from service.common.errors import Overloaded


class Lendable(Protocol):
    """A connection that can be lent."""

    def interrupt(self) -> None:
        """Have the thread that waits for an answer on it get EOFError."""

    def close(self) -> None:
        """Close it; nobody uses it any more."""


T = TypeVar("T", bound=Lendable)


class ConnectionQueue(Generic[T]):
    """Lends connections, each to one thread at a time."""

    def __init__(self, connections: Sequence[T]) -> None:
        """The first of them is lent first."""
        self._free = deque(connections)
        self._lent: list[T] = []
        self._waiting: deque[Future[T]] = deque()
        self._closed = False
        # Reentrant, because a finalizer that closes this may run wherever memory is allocated.
        self._lock = threading.RLock()

    @property
    def lent(self) -> int:
        """How many connections are lent."""
        return len(self._lent)

    @property
    def waiting(self) -> int:
        """How many threads wait for a connection."""
        return len(self._waiting)

    @contextmanager
    def lend(self, seconds: float) -> Iterator[T]:
        """Lend a connection for the time of the block.

        Raises Overloaded if none is free in that many seconds, and EOFError once this is closed.
        """
        connection = self._take(seconds)
        try:
            yield connection
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close all connections; threads that use one, or wait for one, get EOFError."""
        with self._lock:
            self._closed = True
            while self._waiting:
                self._waiting.popleft().set_exception(EOFError())
            while self._free:
                self._free.pop().close()
            for connection in self._lent:  # Each is closed by the thread that uses it.
                connection.interrupt()

    def _take(self, seconds: float) -> T:
        with self._lock:
            if self._closed:
                raise EOFError
            if self._free:  # Then nobody waits.
                connection = self._free.popleft()
                self._lent.append(connection)
                return connection
            waiter: Future[T] = Future()
            self._waiting.append(waiter)
        try:
            return waiter.result(seconds)
        except TimeoutError:
            with self._lock:
                if waiter.done():  # It got one after all, or this was closed.
                    return waiter.result()
                self._waiting.remove(waiter)
            raise Overloaded from None

    def _give_back(self, connection: T) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set_result(connection)
                return
            self._lent.remove(connection)
            if self._closed:
                connection.close()
            else:
                self._free.append(connection)
