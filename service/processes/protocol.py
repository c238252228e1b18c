"""What is sent on a connection to a process that serves a classifier.

The first messages bring the classifier; then requests are answered one after the other. A matrix is
sent as it lies in memory, behind a head of 32 bytes that keeps it aligned: nothing is pickled.
"""

import struct
from enum import IntEnum
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.models.classifier import Floats, Labels

_HEAD = struct.Struct("=qdQQ")


class Kind(IntEnum):
    """What a message is about, and what follows its head."""

    LOADED = 1
    """The classifier's properties in JSON."""
    LABELS = 2
    """Rows to classify."""
    PROBABILITIES = 3
    """Rows to classify with probabilities."""
    ANSWER = 4
    """Labels, then probabilities if they were asked for."""
    REFUSED = 5
    """The sentence of a ValueError."""
    DEFECT = 6
    """The sentence of any other error."""
    FILE = 7
    """Which rows of which file to classify, in JSON."""


class Message(NamedTuple):
    """A message that has arrived."""

    kind: int
    seconds: float
    """The processor time that the answer took."""
    rows: int
    columns: int
    """Features of a request, classes of an answer with probabilities, else 0."""
    data: bytes
    """All of the message."""

    @property
    def text(self) -> bytes:
        """What follows the head."""
        return self.data[_HEAD.size :]

    def floats(self, after: int = 0) -> Floats:
        """Return the matrix that begins this many bytes after the head; it is read-only."""
        count = self.rows * self.columns
        values = np.frombuffer(self.data, np.float64, count, _HEAD.size + after)
        return values.reshape(self.rows, self.columns)

    def labels(self) -> Labels:
        """Return the class indexes that follow the head; they are read-only."""
        return np.frombuffer(self.data, np.int64, self.rows, _HEAD.size)


def send_text(connection: Connection, kind: Kind, text: bytes, seconds: float = 0.0) -> None:
    """Send a message that is followed by text."""
    connection.send_bytes(_HEAD.pack(kind, seconds, 0, 0) + text)


def send_rows(connection: Connection, kind: Kind, matrix: Floats) -> None:
    """Send rows to classify."""
    matrix = np.ascontiguousarray(matrix, np.float64)
    connection.send_bytes(_joined(_HEAD.pack(kind, 0.0, *matrix.shape), matrix))


def send_answer(
    connection: Connection, seconds: float, labels: Labels, probabilities: Floats | None
) -> None:
    """Send the answer to rows."""
    classes = 0 if probabilities is None else probabilities.shape[1]
    head = _HEAD.pack(Kind.ANSWER, seconds, len(labels), classes)
    arrays: list[NDArray[Any]] = [np.ascontiguousarray(labels, np.int64)]
    if probabilities is not None:
        arrays.append(np.ascontiguousarray(probabilities, np.float64))
    connection.send_bytes(_joined(head, *arrays))


def _joined(head: bytes, *arrays: NDArray[Any]) -> bytes:
    """Return one message, so that one call sends it and the other end is woken once."""
    return b"".join((head, *(array.data for array in arrays)))


def receive(connection: Connection) -> Message:
    """Receive a message; raises EOFError, or OSError (where it does not arrive in time)."""
    data = connection.recv_bytes()
    kind, seconds, rows, columns = _HEAD.unpack_from(data)
    return Message(kind, seconds, rows, columns, data)
