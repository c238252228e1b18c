"""The connections to one process that serves a classifier, shared by the threads that ask it."""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import orjson

from service.models.classifier import Floats, Labels
from service.processes.connection_queue import ConnectionQueue
from service.processes.job import WorkerProcess
from service.processes.protocol import Kind, receive, send_rows, send_text

_LOAD_SECONDS = 120.0
"""How long the process may take to start and to load the classifier."""

ANSWER_SECONDS = 30.0
_ROW_SECONDS = 0.01
"""How long an answer may take, and how much longer for each row."""

_QUEUE_SECONDS = 5.0
"""How long rows in a request may wait for a connection. Those are lent in the order of arrival,
so that only an overload, or a very slow model, takes longer."""
_FILE_QUEUE_SECONDS = 60.0
"""How long a part of a file may wait for a connection; its client waits for many parts anyway."""

_TIMEVAL = struct.Struct("@ll")


class Defect(Exception):
    """The process met an error that is no client's fault; its log shows all of it."""


@dataclass(frozen=True, slots=True)
class ClassifierInfo:
    """What the process reports of the classifier that it has loaded."""

    pid: int
    classes: int
    has_probabilities: bool
    may_label_nan: bool


class _Channel:
    """One connection, on which no read or write takes longer than was allowed."""

    def __init__(self, end: socket.socket) -> None:
        self.connection = Connection(end.detach())
        self._seconds = 0.0

    def allow(self, seconds: float) -> None:
        """Let a read or write take this long; then it raises OSError, also within a message."""
        if seconds != self._seconds:
            self._seconds = seconds
            timeout = _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6))
            with self._socket() as end:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)

    def interrupt(self) -> None:
        """Have the thread that waits for an answer get EOFError."""
        with contextlib.suppress(OSError), self._socket() as end:
            end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self.connection.close()

    def _socket(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self.connection.fileno()))


class WorkerConnection:
    """One process that serves a classifier, and the connections to it.

    Every call raises EOFError or OSError if the process is gone or does not answer in time: then no
    further answer can be expected of it. It raises Overloaded if no connection is free in time.
    """

    info: ClassifierInfo
    """Known once the classifier is loaded."""

    def __init__(
        self,
        worker: WorkerProcess,
        connections: Sequence[socket.socket],
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.worker = worker
        self.began = time.monotonic()
        self._seconds = seconds
        # The first one comes first: on it the process waits for the classifier.
        self.queue = ConnectionQueue([_Channel(end) for end in connections])

    def load(self, names: Sequence[str], data: bytes) -> ClassifierInfo:
        """Have the process load a skops file; raises ValueError if it refuses."""
        with self.queue.lend(_LOAD_SECONDS) as channel:
            channel.allow(_LOAD_SECONDS)
            channel.connection.send_bytes(orjson.dumps(list(names)))
            channel.connection.send_bytes(data)
            answer = receive(channel.connection)
        if answer.kind != Kind.LOADED:
            raise ValueError(answer.text.decode(errors="replace"))
        self.info = ClassifierInfo(**orjson.loads(answer.text))
        return self.info

    def ask(self, X: Floats, probabilities: bool) -> tuple[float, Labels, Floats | None]:
        """Have rows classified; return the processor seconds that it took, and the answer.

        Raises ValueError if the classifier does, and Defect.
        """
        kind = Kind.PROBABILITIES if probabilities else Kind.LABELS

        def send(connection: Connection) -> None:
            send_rows(connection, kind, X)

        return self._exchange(send, _QUEUE_SECONDS, len(X), probabilities)

    def ask_of_file(
        self, path: Path, rows: slice, probabilities: bool
    ) -> tuple[float, Labels, Floats | None]:
        """Have rows of a matrix in a file (.npy) classified, which the process maps; like `ask`."""
        request = orjson.dumps(
            {
                "path": str(path),
                "first": rows.start,
                "end": rows.stop,
                "probabilities": probabilities,
            }
        )

        def send(connection: Connection) -> None:
            send_text(connection, Kind.FILE, request)

        return self._exchange(send, _FILE_QUEUE_SECONDS, rows.stop - rows.start, probabilities)

    def _exchange(
        self,
        send: Callable[[Connection], None],
        queue_seconds: float,
        rows: int,
        probabilities: bool,
    ) -> tuple[float, Labels, Floats | None]:
        with self.queue.lend(queue_seconds) as channel:
            channel.allow(self._seconds + rows * _ROW_SECONDS)
            send(channel.connection)
            answer = receive(channel.connection)
        if answer.kind in (Kind.REFUSED, Kind.DEFECT):
            sentence = answer.text.decode(errors="replace")
            raise (ValueError if answer.kind == Kind.REFUSED else Defect)(sentence)
        classes = self.info.classes if probabilities else 0
        if (answer.rows, answer.columns) != (rows, classes):
            raise EOFError  # It is no answer to this request.
        labels = answer.labels()
        return answer.seconds, labels, answer.floats(labels.nbytes) if classes else None

    def close(self) -> None:
        """Close the connections: threads that wait get EOFError, and the worker ends."""
        self.queue.close()
