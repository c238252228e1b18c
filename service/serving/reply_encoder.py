"""The JSON of replies. What is the same in all of them is prepared once."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

_WITH_PROBABILITIES = b'%b%b],"classes":%b,"probabilities":%b}'


class Replies(Protocol):
    """Writes replies of one version."""

    @property
    def single(self) -> Sequence[bytes]:
        """Replies to one row without probabilities, by the index of its class."""

    def with_probabilities(self, label: int, chances: list[float]) -> bytes:
        """Return the reply to one row, by the index of its class and its finite probabilities."""

    def encode(self, labels: NDArray[np.int64], rows: NDArray[np.float64] | None) -> bytes:
        """Return the reply to rows: class indexes [N] and, if asked for, probabilities [N, K]."""


class LabelReplies:
    """Replies to single rows, all made in advance; none of them has probabilities."""

    def __init__(self, single: Sequence[bytes]) -> None:
        self.single = single

    def with_probabilities(self, label: int, chances: list[float]) -> bytes:
        """Refuse, since nobody asks these replies for probabilities."""
        raise NotImplementedError

    def encode(self, labels: NDArray[np.int64], _: NDArray[np.float64] | None) -> bytes:
        """Return the reply to the one row."""
        return self.single[int(labels[0])]


class ReplyEncoder:
    """Writes replies of one version of a model."""

    def __init__(self, members: Mapping[str, object], classes: Sequence[object]) -> None:
        """Every reply begins with `members`, and its predictions follow."""
        begin = orjson.dumps(members)[:-1] + (b"," if members else b"")
        self._head = begin + b'"predictions":['
        self._labels = [orjson.dumps(label) for label in classes]
        self._classes = orjson.dumps(list(classes))
        self.single = [b"%b%b]}" % (self._head, label) for label in self._labels]
        """Replies to one row without probabilities, by the index of its class."""

    def with_probabilities(self, label: int, chances: list[float]) -> bytes:
        """Return the reply to one row, by the index of its class and its finite probabilities."""
        texts = (self._head, self._labels[label], self._classes, orjson.dumps([chances]))
        return _WITH_PROBABILITIES % texts

    def encode(self, labels: NDArray[np.int64], rows: NDArray[np.float64] | None) -> bytes:
        """Return the reply to rows: class indexes [N] and, if asked for, probabilities [N, K]."""
        texts = self._labels
        predictions = b",".join([texts[label] for label in labels.tolist()])
        if rows is None:
            return b"%b%b]}" % (self._head, predictions)
        chances = orjson.dumps(np.ascontiguousarray(rows), option=orjson.OPT_SERIALIZE_NUMPY)
        return _WITH_PROBABILITIES % (self._head, predictions, self._classes, chances)
