"""Heads of plain requests: the same bytes need not be parsed again.

At 32 connections the service answers 1.5 to 1.75 times as many rows as a bare ASGI application,
and 1.2 times without this (docs/performance.md).
"""

from hashlib import sha256
from typing import NamedTuple

from service.auth.api_keys import ApiKeys

END = b"\r\n\r\n"
"""Ends the head of a request."""

_LONGEST = 1024
_MOST = 512


class PlainHead(NamedTuple):
    """What the head of a plain request says."""

    url: bytes
    head_bytes: int | None
    """The length of the JSON before binary tensors; None where the body is JSON alone."""
    body_bytes: int
    share_by: bytes
    """The header by which traffic is split between two versions when the head was read."""
    share_value: bytes | None
    """What the head has for it; None: nothing."""


class HeadCache:
    """Maps the bytes of the head of a plain request to what they say."""

    def __init__(self) -> None:
        self._known: dict[bytes, PlainHead] = {}
        self.find = self._known.get
        """Returns what a cached head says, or None."""

    def __len__(self) -> int:
        """Return the number of cached heads."""
        return len(self._known)

    def learn(self, data: bytes, said: PlainHead) -> None:
        """Cache the head of a plain request that arrived in one segment."""
        head = data[: len(data) - said.body_bytes]
        # Nothing but a head: no empty lines before it, no bytes behind its body.
        if len(head) <= _LONGEST and head.find(END) + len(END) == len(head):
            self._keep(head, said)

    def _keep(self, head: bytes, said: PlainHead) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[head] = said


class KeyedHeadCache(HeadCache):
    """The same where heads hold keys: only digests of heads are kept, while their keys are valid.

    Call `learn` only after the key was found valid.
    """

    def __init__(self, keys: ApiKeys) -> None:
        super().__init__()
        self._keys = keys
        self._generation = keys.generation
        self.find = self._find  # type: ignore[assignment]

    def _find(self, head: bytes) -> PlainHead | None:
        generation = self._keys.generation
        if generation != self._generation:
            self._generation = generation
            self._known.clear()
        return self._known.get(sha256(head).digest())

    def _keep(self, head: bytes, said: PlainHead) -> None:
        super()._keep(sha256(head).digest(), said)
