"""The connections to one serving child, shared by the threads that ask it."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import SHUT_RDWR, socket

import numpy as np
import orjson

from service.models.classifier import Floats, Labels
from service.processes.job import WorkerProcess
from service.processes.protocol import (
    Head,
    Kind,
    Part,
    receive_bytes,
    receive_floats,
    receive_head,
    receive_labels,
    send,
)

_LOAD_SECONDS = 120.0
"""How long the start of a child and its loading may take."""

ANSWER_SECONDS = 30.0
_ROW_SECONDS = 0.01
"""How long an answer may take: so long, and so much longer for each row."""


class Defect(Exception):
    """The child met an error that is no client's fault; its log shows it whole."""


@dataclass(frozen=True, slots=True)
class ClassifierInfo:
    """What a child tells of the classifier that it has loaded."""

    pid: int
    classes: int
    has_probabilities: bool
    may_label_nan: bool


class WorkerConnection:
    """One serving child and its connections; each call takes one of them for itself.

    Every call raises EOFError or OSError (TimeoutError among them) where the child is gone or
    does not answer in time: then nothing more is to be expected of it.
    """

    facts: ClassifierInfo
    """Known once it is loaded."""

    def __init__(
        self, child: WorkerProcess, connections: Sequence[socket], seconds: float = ANSWER_SECONDS
    ) -> None:
        self.child = child
        self.began = time.monotonic()
        self._seconds = seconds
        # The first one comes first: on it the child waits for what it is to load.
        self._free = list(reversed(connections))
        self._busy: set[socket] = set()
        self._cut = False
        self._changed = threading.Condition()

    def load(self, names: Sequence[str], data: bytes) -> ClassifierInfo:
        """Have the child load a skops file; raises ValueError where it refuses."""
        until = time.monotonic() + _LOAD_SECONDS
        told = orjson.dumps(list(names))
        with self._connection() as connection:
            connection.settimeout(_LOAD_SECONDS)
            send(connection, Head(Kind.LOAD, 0.0, len(told), len(data)), [told, data])
            head = receive_head(connection, until)
            answer = receive_bytes(connection, head.first, until)
        if head.kind != Kind.LOADED:
            raise ValueError(answer.decode(errors="replace"))
        self.facts = ClassifierInfo(**orjson.loads(answer))
        return self.facts

    def ask(self, X: Floats, probabilities: bool) -> tuple[float, Labels, Floats | None]:
        """Have rows classified; give the processor's seconds that it took, and the answer.

        Raises ValueError where the classifier does, and Defect.
        """
        X = np.ascontiguousarray(X, np.float64)
        kind = Kind.PROBABILITIES if probabilities else Kind.LABELS
        return self._exchange(Head(kind, 0.0, *X.shape), [X], len(X), probabilities)

    def ask_of_file(
        self, path: Path, rows: slice, probabilities: bool
    ) -> tuple[float, Labels, Floats | None]:
        """Have rows of a matrix's file (.npy) classified, which the child maps; like `ask`."""
        asked = orjson.dumps(
            {
                "path": str(path),
                "first": rows.start,
                "end": rows.stop,
                "probabilities": probabilities,
            }
        )
        head = Head(Kind.FILE, 0.0, len(asked), 0)
        return self._exchange(head, [asked], rows.stop - rows.start, probabilities)

    def _exchange(
        self, question: Head, parts: Sequence[Part], rows: int, probabilities: bool
    ) -> tuple[float, Labels, Floats | None]:
        with self._connection() as connection:
            seconds = self._seconds + rows * _ROW_SECONDS
            until = time.monotonic() + seconds
            connection.settimeout(seconds)
            send(connection, question, parts)
            head = receive_head(connection, until)
            if head.kind in (Kind.REFUSED, Kind.DEFECT):
                sentence = receive_bytes(connection, head.first, until).decode(errors="replace")
                raise (ValueError if head.kind == Kind.REFUSED else Defect)(sentence)
            if head[2:] != (rows, self.facts.classes if probabilities else 0):
                raise EOFError  # no answer to what was asked
            labels = receive_labels(connection, rows, until)
            chances = receive_floats(connection, rows, head.second, until) if head.second else None
        return head.seconds, labels, chances

    def cut(self) -> None:
        """Close every connection: whoever waits for an answer gets EOFError, and the child ends."""
        with self._changed:
            self._cut = True
            while self._free:
                self._free.pop().close()
            for connection in self._busy:
                # Closed by the one who waits on it.
                try:
                    connection.shutdown(SHUT_RDWR)
                except OSError:
                    continue
            self._changed.notify_all()

    @contextmanager
    def _connection(self) -> Iterator[socket]:
        with self._changed:
            while not self._free and not self._cut:
                self._changed.wait()
            if self._cut:
                raise EOFError
            connection = self._free.pop()
            self._busy.add(connection)
        try:
            yield connection
        finally:
            with self._changed:
                self._busy.discard(connection)
                if self._cut:
                    connection.close()
                else:
                    self._free.append(connection)
                    self._changed.notify()
