"""The messages between the service and its worker host, and the stream that carries them.

The service and the host share one connection. On it each message names its worker, and each worker
ends with one outcome: Done, Rejected, OverLimit or Crashed. The host speaks to each of its workers
with the same messages. A message is a line of JSON, so that nothing is unpickled.
"""

import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
import orjson

from service.common.errors import Problem
from service.common.search import SearchState, Trial
from service.processes.limits import JobLimits, LimitExceeded

Received = TypeVar("Received")

_CHUNK_BYTES = 65_536
_MOST_FILES = 64
"""File descriptors that one call receives at most."""
_MOST_BYTES = 256 * 2**20
"""A longer message is refused, so that a worker cannot fill the host's memory."""

_encode = msgspec.json.Encoder().encode


class Prefork(msgspec.Struct, frozen=True, tag=True):
    """To the host: fork a worker ahead of the job that is about to come."""


class StartJob(msgspec.Struct, frozen=True, tag=True):
    """To the host and on to the worker: run a job of this kind in this folder."""

    worker: int
    kind: str
    folder: str
    limits: JobLimits
    spec: msgspec.Raw
    """The job's arguments in JSON, whose keys depend on the kind."""


class StartClassifier(msgspec.Struct, frozen=True, tag=True):
    """To the host and on to the worker: serve a classifier on the sockets that come along."""

    worker: int
    connections: int


class Stop(msgspec.Struct, frozen=True, tag=True):
    """To the host: kill a worker and everything that it started."""

    worker: int


class Progress(msgspec.Struct, frozen=True, tag=True):
    """From a worker: how far its job has come."""

    stage: str
    share: float
    """From 0 to 1."""


class SearchNews(msgspec.Struct, frozen=True, tag=True):
    """From a worker: how far the search of its job has come."""

    state: SearchState
    trials: tuple[Trial, ...] = ()
    """Those that have begun or ended since the news before."""


class Done(msgspec.Struct, frozen=True, tag=True):
    """The job ended with this result, in JSON."""

    result: msgspec.Raw = msgspec.Raw(b"null")


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """The job raised an error of `service.common.errors` that names what a client can mend."""

    error: str
    """The name of its class."""
    detail: str
    problems: tuple[Problem, ...] = ()
    features: tuple[str, ...] = ()


class OverLimit(msgspec.Struct, frozen=True, tag=True):
    """The job went over one of its limits."""

    limit: LimitExceeded


class Crashed(msgspec.Struct, frozen=True, tag=True):
    """The worker met a defect, or a signal ended it that nobody here had sent."""

    reason: str
    was_killed: bool = False
    """Whether that signal was SIGKILL, which the kernel sends when no memory is left."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """From the host: its imports are done, and it answers at once from now on."""


Outcome = Done | Rejected | OverLimit | Crashed
News = Progress | SearchNews


class FromWorker(msgspec.Struct, frozen=True, tag=True):
    """From the host: what a worker says, or what the host saw happen to it."""

    worker: int
    message: Progress | SearchNews | Done | Rejected | OverLimit | Crashed


Start = StartJob | StartClassifier


def to_json(value: Any) -> msgspec.Raw:
    """Return a job's arguments or its result in JSON; numpy's numbers and arrays are allowed."""
    return msgspec.Raw(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


class MessageStream(Generic[Received]):
    """One end of a connection that carries messages, and file descriptors with them."""

    def __init__(self, connection: socket.socket, received: Any) -> None:
        """`received` is the type, or the union of types, of the messages that arrive here."""
        self._socket = connection
        self._decoder: msgspec.json.Decoder[Received] = msgspec.json.Decoder(received)
        self._incomplete = bytearray()
        self.files: deque[int] = deque()
        """The file descriptors that arrived, in the order of the messages that they belong to."""

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 once the stream is closed."""
        return self._socket.fileno()

    def send(self, message: msgspec.Struct, files: Sequence[int] = ()) -> None:
        """Send a message, which gives the receiver copies of these open files."""
        line = _encode(message) + b"\n"
        if files:
            line = line[socket.send_fds(self._socket, [line], files) :]
        self._socket.sendall(line)

    def receive(self, flags: int = 0) -> list[Received]:
        """Return the messages that are complete by now.

        Raises EOFError where the other end is closed, OSError, and ValueError for anything that is
        no message.
        """
        data, files, _, _ = socket.recv_fds(self._socket, _CHUNK_BYTES, _MOST_FILES, flags)
        self.files.extend(files)
        if not data:
            raise EOFError
        self._incomplete += data
        if b"\n" not in data:
            if len(self._incomplete) > _MOST_BYTES:
                raise ValueError("a message is too long")
            return []
        lines, _, rest = bytes(self._incomplete).rpartition(b"\n")
        self._incomplete = bytearray(rest)
        return self._decoder.decode_lines(lines)

    def receive_one(self) -> Received:
        """Wait for the only message that is to come; raises like `receive`."""
        while True:
            if messages := self.receive():
                return messages[0]

    def end(self) -> None:
        """Tell the other end that no message follows; messages are still received."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
