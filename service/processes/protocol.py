"""What is said on a connection to a serving child: matrices as they lie in memory.

Each message is a head and what it announces. The first one brings the classifier; on every
connection requests are then answered one after the other.
"""

import struct
import time
from collections.abc import Sequence
from enum import IntEnum
from socket import socket
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.models.classifier import Floats, Labels

_HEAD = struct.Struct("=BdQQ")
_SHORT = 65_536
"""Up to so many bytes a message is put together and sent at once: one call, one waking."""


class Kind(IntEnum):
    """What a message is about, and what its two sizes mean."""

    LOAD = 1
    """A skops file: bytes of the features' names in JSON, bytes of the file."""
    LOADED = 2
    """What the classifier is like, in JSON: bytes of that, 0."""
    LABELS = 3
    """Rows to be classified: rows, columns."""
    PROBABILITIES = 4
    """The same, with probabilities."""
    ANSWER = 5
    """Labels, then probabilities: rows, classes or 0."""
    REFUSED = 6
    """A ValueError's sentence: bytes of it, 0."""
    DEFECT = 7
    """Any other error's sentence: bytes of it, 0."""
    FILE = 8
    """Rows of a matrix that lies in a file, said in JSON: bytes of that, 0."""


class Head(NamedTuple):
    """The start of a message; `seconds` are those of the processor that the answer took."""

    kind: int
    seconds: float
    first: int
    second: int


Part = bytes | NDArray[np.float64] | NDArray[np.int64]


def send(connection: socket, head: Head, parts: Sequence[Part] = ()) -> None:
    """Send a message; arrays must be in C order."""
    views = [
        part if isinstance(part, bytes) else part.data.cast("B") for part in parts if len(part)
    ]
    pieces = [_HEAD.pack(*head), *views]
    if sum(map(len, pieces)) <= _SHORT:
        connection.sendall(b"".join(pieces))
        return
    for piece in pieces:
        connection.sendall(piece)


def receive_head(connection: socket, until: float | None = None) -> Head:
    """Receive the start of a message; raises EOFError, or TimeoutError at the time `until`."""
    return Head._make(_HEAD.unpack(receive_bytes(connection, _HEAD.size, until)))


def receive_bytes(connection: socket, size: int, until: float | None = None) -> bytearray:
    """Receive so many bytes; raises like `receive_head`."""
    data = bytearray(size)
    _fill(connection, memoryview(data), until)
    return data


def receive_floats(
    connection: socket, rows: int, columns: int, until: float | None = None
) -> Floats:
    """Receive a matrix; raises like `receive_head`."""
    matrix = np.empty((rows, columns), np.float64)
    if matrix.size:
        _fill(connection, matrix.data.cast("B"), until)
    return matrix


def receive_labels(connection: socket, rows: int, until: float | None = None) -> Labels:
    """Receive the indexes of so many rows' classes; raises like `receive_head`."""
    labels = np.empty(rows, np.int64)
    if rows:
        _fill(connection, labels.data.cast("B"), until)
    return labels


def _fill(connection: socket, view: memoryview, until: float | None) -> None:
    while view:
        if until is not None:
            # A timeout of 0 would mean: do not wait at all.
            connection.settimeout(max(until - time.monotonic(), 0.001))
        count = connection.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
