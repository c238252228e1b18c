"""Labels and probabilities as tensors of the Open Inference Protocol, in JSON or in binary."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.api.inference.requests import PREDICT, Wanted
from service.api.written import Written
from service.common.domain import Label, spelling
from service.models.classifier import Floats, Labels
from service.serving.served_model import JSON

_BINARY = (b"content-type", b"application/octet-stream")
_HEADER = b"inference-header-content-length"


class OutputEncoder:
    """Writes replies of one version."""

    def __init__(self, name: str, version: int, classes: Sequence[Label]) -> None:
        head = orjson.dumps({"model_name": name, "model_version": str(version)})
        self.name = name
        self.version = version
        self._head = head[:-1]
        self.datatype = _datatype(classes)
        labels = [spelling(label) for label in classes] if self.datatype == "BYTES" else classes
        self._classes = len(classes)
        self._labels = labels
        self._texts = [orjson.dumps(label) for label in labels]
        self._bytes: list[bytes] = []
        self._values: NDArray[Any] | None = None
        if self.datatype == "BYTES":
            encoded = [str(label).encode() for label in labels]
            self._bytes = [len(text).to_bytes(4, "little") + text for text in encoded]
        else:
            self._values = np.array(labels, "?" if self.datatype == "BOOL" else "<i8")

    def encode(
        self,
        outputs: Sequence[Wanted],
        identifier: str | None,
        labels: Labels,
        chances: Floats | None,
    ) -> Written:
        """Return the reply to N rows: class indexes [N] and, if asked for, probabilities [N, K]."""
        parts: list[bytes] = []
        tails: list[bytes] = []
        for output in outputs:
            if output.name == PREDICT:
                about = (PREDICT, len(labels), 1, self.datatype)
                data = self.binary(labels) if output.binary else self._json(labels)
            else:
                assert chances is not None
                about = (output.name, len(labels), self._classes, "FP64")
                data = binary_numbers(chances) if output.binary else _json(chances)
            parts.append(_part(*about, data, output.binary))
            if output.binary:
                tails.append(data)
        identity = b"" if identifier is None else b',"id":' + orjson.dumps(identifier)
        head = b'%b%b,"outputs":[%b]}' % (self._head, identity, b",".join(parts))
        if not any(output.binary for output in outputs):
            return Written(head, (JSON,))
        return Written(b"".join([head, *tails]), (_BINARY, (_HEADER, b"%d" % len(head))))

    def items(self, labels: Labels) -> list[Any]:
        """Return labels as values of their datatype: texts, integers or booleans."""
        names = self._labels
        return [names[label] for label in labels.tolist()]

    def _json(self, labels: Labels) -> bytes:
        texts = self._texts
        return b"[%b]" % b",".join([texts[label] for label in labels.tolist()])

    def binary(self, labels: Labels) -> bytes:
        """Return labels in little-endian binary."""
        if self._values is not None:
            return self._values[labels].tobytes()
        texts = self._bytes
        return b"".join([texts[label] for label in labels.tolist()])


def _part(name: str, rows: int, width: int, datatype: str, data: bytes, binary: bool) -> bytes:
    about = (name.encode(), rows, width, datatype.encode())
    begin = b'{"name":"%b","shape":[%d,%d],"datatype":"%b",' % about
    if binary:
        return b'%b"parameters":{"binary_data_size":%d}}' % (begin, len(data))
    return b'%b"data":%b}' % (begin, data)


def _json(chances: Floats) -> bytes:
    return orjson.dumps(np.ascontiguousarray(chances).ravel(), option=orjson.OPT_SERIALIZE_NUMPY)


def binary_numbers(chances: Floats) -> bytes:
    """Return numbers in little-endian binary, row by row."""
    return np.ascontiguousarray(chances, "<f8").tobytes()


def _datatype(classes: Sequence[Label]) -> str:
    """Return the datatype of labels, which keep the type that they had in training."""
    if all(isinstance(label, bool) for label in classes):
        return "BOOL"
    if all(type(label) is int and -(2**63) <= label < 2**63 for label in classes):
        return "INT64"
    return "BYTES"
