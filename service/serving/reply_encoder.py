"""The JSON of replies; whatever does not depend on the request is prepared once."""

from collections.abc import Mapping, Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

_WITH_PROBABILITIES = b'%b%b],"classes":%b,"probabilities":%b}'


class ReplyEncoder:
    """Writes replies of one version of a model."""

    def __init__(self, members: Mapping[str, object], classes: Sequence[object]) -> None:
        """`members` are those that every reply has before its predictions."""
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
