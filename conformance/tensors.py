"""Tensors as the protocol writes them: JSON, and bytes in little-endian row-major order."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

FORMATS = {
    "BOOL": "?",
    "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
"""The format of `struct` for each datatype whose elements have a fixed size."""

DATATYPES = {*FORMATS, "BYTES"}
NUMBERS = set(FORMATS) - {"BOOL"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor with a flat list of elements."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]
    parameters: dict[str, Any] = field(default_factory=dict)

    def described(self, **parameters: object) -> dict[str, Any]:
        """Return what stands in JSON of a tensor whose elements do not."""
        described: dict[str, Any] = {
            "name": self.name,
            "datatype": self.datatype,
            "shape": self.shape,
        }
        merged = {**self.parameters, **parameters}
        return {**described, "parameters": merged} if merged else described

    def as_json(self, **changes: object) -> dict[str, Any]:
        """Return the tensor with flat data, with some keys changed."""
        return {**self.described(), "data": self.data, **changes}

    def as_binary(self) -> tuple[dict[str, Any], bytes]:
        """Return the tensor's description with `binary_data_size`, and its bytes."""
        content = encode(self.datatype, self.data)
        return self.described(binary_data_size=len(content)), content

    def nested(self) -> Any:
        """Return the data as lists in lists, one level a dimension."""
        data: list[Any] = self.data
        for size in reversed(self.shape[1:]):
            data = [data[at : at + size] for at in range(0, len(data), size)]
        return data

    def resized(self, rows: int) -> "Tensor":
        """Return the tensor with that many rows, repeated from the start."""
        width = math.prod(self.shape[1:])
        given = max(self.shape[0], 1)
        data = [self.data[(row % given) * width + at] for row in range(rows) for at in range(width)]
        return replace(self, shape=[rows, *self.shape[1:]], data=data)


def encode(datatype: str, elements: Sequence[Any]) -> bytes:
    """Return elements as bytes; an element of BYTES follows its length in four bytes."""
    if datatype != "BYTES":
        return struct.pack(f"<{len(elements)}{FORMATS[datatype]}", *elements)
    contents = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


def decode(datatype: str, content: bytes) -> list[Any]:
    """Return the elements of bytes; raise AssertionError if they are not whole elements."""
    if datatype != "BYTES":
        size = struct.calcsize(FORMATS[datatype])
        assert len(content) % size == 0, f"{len(content)} bytes are no whole {datatype} elements"
        return list(struct.unpack(f"<{len(content) // size}{FORMATS[datatype]}", content))
    elements, at = [], 0
    while at < len(content):
        assert at + 4 <= len(content), "a BYTES element ends within its length"
        (length,) = struct.unpack_from("<I", content, at)
        assert at + 4 + length <= len(content), "a BYTES element is longer than the tensor"
        elements.append(content[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return elements


def flat(data: Any) -> list[Any]:
    """Return nested lists as one list."""
    return (
        [element for item in data for element in flat(item)] if isinstance(data, list) else [data]
    )
