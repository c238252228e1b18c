"""Tensors of the Open Inference Protocol to arrays: what each datatype is, in JSON and in binary.

Nothing is cast if that loses something: 5.9 is no INT64, 300 no UINT8, 1e300 no FP32.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.common.errors import InvalidInput, Problem, clip, quoted

BYTES = "BYTES"
_DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = (*_DTYPES, BYTES)

Values = NDArray[Any] | list[Any]
"""Of a tensor, flat, row by row: a list where they are texts, or None stands for a missing one."""


class Tensor(NamedTuple):
    """One input."""

    name: str
    shape: tuple[int, ...]
    values: Values


class Place(NamedTuple):
    """Where a tensor stands in its request, for what is said of it."""

    number: int
    """Of the input, from 0."""
    name: str
    datatype: str
    shape: Sequence[int]

    def refuse(self, message: str, key: str = "data") -> InvalidInput:
        """Return the error that says this of the tensor."""
        what = f"The input {quoted(self.name)} {message}."
        return InvalidInput(what, [Problem(f"/inputs/{self.number}/{key}", message)])


def from_json(data: bytes, place: Place) -> Values:
    """Return the values of a tensor in JSON, flat or nested; raises InvalidInput."""
    dtype = _dtype(place)
    try:
        values: list[Any] = _FLAT["T" if dtype is None else dtype.kind].decode(data)
    except msgspec.ValidationError:
        values = _flattened(_any(data, place), place)
    count = prod(place.shape)
    if len(values) != count:
        raise place.refuse(f"has {len(values)} values for the shape {_shown(place.shape)}")
    return values if dtype is None else _array(values, dtype, place)


def _any(data: bytes, place: Place) -> Any:
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError as error:
        raise place.refuse("has a number that is out of range") from error


def from_binary(data: memoryview, place: Place) -> Values:
    """Return the values of a tensor in little-endian binary; raises InvalidInput."""
    dtype = _dtype(place)
    if dtype is None:
        return _texts(data, place)
    size = prod(place.shape) * dtype.itemsize
    if len(data) != size:
        raise place.refuse(
            f"has {len(data)} bytes; {place.datatype} of the shape {_shown(place.shape)} has {size}"
        )
    array = np.frombuffer(data, dtype)
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise place.refuse("has a byte other than 0 and 1, which is no BOOL")
    return array


def from_items(items: Sequence[Any], place: Place) -> Values:
    """Return the values of a tensor from a list, whose texts are UTF-8; raises InvalidInput."""
    dtype = _dtype(place)
    if len(items) != prod(place.shape):
        raise place.refuse(f"has {len(items)} values for the shape {_shown(place.shape)}")
    if dtype is not None:
        return _array(list(items), dtype, place)
    try:
        return [str(item, "utf-8") for item in items]
    except UnicodeDecodeError as error:
        raise place.refuse("has a text that is not UTF-8") from error


def _dtype(place: Place) -> np.dtype[Any] | None:
    """Return numpy's type for a datatype, None for BYTES; raises InvalidInput."""
    if place.datatype == BYTES:
        return None
    dtype = _DTYPES.get(place.datatype)
    if dtype is None:
        message = f"has the datatype {quoted(place.datatype, 24)}; send one of "
        raise place.refuse(message + ", ".join(DATATYPES), "datatype")
    return dtype


_FLAT: Mapping[str, msgspec.json.Decoder[list[Any]]] = {
    "f": msgspec.json.Decoder(list[float]),
    "i": msgspec.json.Decoder(list[int]),
    "u": msgspec.json.Decoder(list[int]),
    "b": msgspec.json.Decoder(list[bool]),
    "T": msgspec.json.Decoder(list[str]),
}
_TYPES: Mapping[str, set[type]] = {
    "f": {float, int},
    "i": {int, float},
    "u": {int, float},
    "b": {bool},
}


def _flattened(value: Any, place: Place) -> list[Any]:
    """Return a nested list as a flat one, or a flat one as it is; raises InvalidInput."""
    if not isinstance(value, list):
        raise place.refuse("must have a list of values")
    depth = 1
    while value and isinstance(value[0], list):
        if depth >= len(place.shape):
            raise place.refuse(f"nests deeper than its shape {_shown(place.shape)}")
        width = place.shape[depth]
        if not all(isinstance(part, list) and len(part) == width for part in value):
            raise place.refuse(f"is nested otherwise than its shape {_shown(place.shape)} says")
        value = [item for part in value for item in part]
        depth += 1
    flat: list[Any] = value
    if place.datatype == BYTES:
        _check_types(flat, {str}, place)
    return flat


def _array(values: list[Any], dtype: np.dtype[Any], place: Place) -> Values:
    _check_types(values, _TYPES[dtype.kind], place)
    has_none = None in values
    if dtype.kind == "f":
        return _floats(values, dtype, place)
    if dtype.kind in "iu":
        values = [_integer(value, place) for value in values]
    try:
        array = np.array([value for value in values if value is not None], dtype)
    except OverflowError as error:
        raise place.refuse(f"has a number that {place.datatype} cannot hold") from error
    return values if has_none else array


def _floats(values: list[Any], dtype: np.dtype[Any], place: Place) -> NDArray[Any]:
    try:
        numbers = np.array(values, np.float64)  # None becomes NaN
    except OverflowError as error:
        raise place.refuse(f"has a number that {place.datatype} cannot hold") from error
    if dtype.itemsize == numbers.itemsize:
        return numbers
    with np.errstate(over="ignore"):
        cast = numbers.astype(dtype)
    if (np.isinf(cast) & np.isfinite(numbers)).any():
        raise place.refuse(f"has a number that {place.datatype} cannot hold")
    return cast


def _integer(value: Any, place: Place) -> int | None:
    if value is None or isinstance(value, int):
        return value
    if not value.is_integer():
        raise place.refuse(f"has {clip(value, 24)}, which is no {place.datatype}")
    return int(value)


def _check_types(values: list[Any], allowed: set[type], place: Place) -> None:
    for kind in set(map(type, values)) - allowed - {type(None)}:
        raise place.refuse(f"has {_NAMES.get(kind, 'an object')}, which is no {place.datatype}")


_NAMES: Mapping[type, str] = {
    bool: "a boolean",
    str: "a text",
    int: "a number",
    float: "a number",
    list: "a list",
}


def _texts(data: memoryview, place: Place) -> list[str]:
    """Return texts, each behind its length as four bytes."""
    texts: list[str] = []
    at = 0
    while at < len(data):
        begin = at + 4
        at = begin + int.from_bytes(data[at:begin], "little")
        if begin > len(data) or at > len(data):
            raise place.refuse("is cut off within a text")
        try:
            texts.append(str(data[begin:at], "utf-8"))
        except UnicodeDecodeError as error:
            raise place.refuse("has a text that is not UTF-8") from error
    if len(texts) != prod(place.shape):
        raise place.refuse(f"has {len(texts)} texts for the shape {_shown(place.shape)}")
    return texts


def _shown(shape: Sequence[int]) -> str:
    return clip(list(shape), 48)
