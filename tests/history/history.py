"""What clients saw of the service: an operation for each request, stored as JSON lines."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

import msgspec
import orjson

Outcome = Literal["ok", "acknowledged", "committed", "unchanged", "unknown", "failed"]
"""Of a read: ok or failed. Of a use: acknowledged (200), committed (202: a replica may be late),
unchanged (the service says that nothing has changed), or unknown (it may still happen)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A prediction (`read`) or a change of the model in use (`use`), as its client saw it.

    Times are of one monotonic clock, in seconds. Models are written `name/version`.
    """

    client: str
    kind: Literal["read", "use"]
    replica: str
    start: float
    end: float
    outcome: Outcome
    epoch: int = 0
    """The epoch in the headers of a read, or in the answer to a use; 0: none."""
    model: str = ""
    """The model in the headers of a read, or in the request of a use."""
    body: str = ""
    """The model in the body of a read."""
    label: str = ""
    """The model that the prediction shows, since each version has its own labels."""
    minimum: int = 0
    """The X-Min-Epoch of a read; 0: none."""
    expected: int | None = None
    """The epoch that a use with compare-and-set expects."""
    previous: int | None = None
    """The previous epoch in the answer to a use."""
    second: str = ""
    """Of a use that puts a second version beside the one in use, which answers a share of the
    clients: that one. Its `model` is empty where the answer did not tell which one is in use."""
    key: str = ""
    """Of a read: the value of the header by which a split is made."""
    reason: str = ""
    """Why it failed, or the service's message."""


def encode(history: Iterable[Operation]) -> bytes:
    """Write a history, one operation a line."""
    return b"".join(orjson.dumps(asdict(one)) + b"\n" for one in history)


def decode(lines: bytes) -> list[Operation]:
    """Read what `encode` wrote."""
    return [msgspec.json.decode(line, type=Operation) for line in lines.splitlines()]
