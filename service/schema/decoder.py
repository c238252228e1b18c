"""A request's bytes to the classifier's matrix, by a decoder that is compiled once from a schema.

The compiled decoder (msgspec) accepts nearly every valid request, and does not say what is wrong
with others. Those go to `explanation`, which decodes them again slowly, and either finds everything
that is wrong or returns the matrix after all.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.schema.columns import ColumnDecoder, codes_of
from service.schema.contract import Feature, Schema
from service.schema.explanation import StrictDecoder

Matrix = NDArray[np.float64]
Row = tuple[float, ...]

_WIDEST = 512
"""Up to this many features, objects are decoded into a struct: msgspec searches keys linearly, so a
client could make a wider one slow by reversing their order."""

HUGE = 1e50
"""Beyond this, sums of squares and products approach the limits of float64, and a classifier may
answer NaN: such rows are not decoded one by one."""

_TINY = 1024
_NARROW = 64
"""Bytes and features up to which the slow decoder takes about a millisecond."""

_KINDS: dict[str, type] = {"number": float, "text": str, "boolean": bool}


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one request may hold."""

    rows: int = 10_000
    depth: int = 32


class FastDecodeFailed(Exception):
    """The compiled decoder does not accept this request, which may be valid all the same."""


class Decoder:
    """Decodes requests for one schema."""

    def __init__(self, schema: Schema, limits: Limits) -> None:
        self._max_rows = limits.rows
        self._explanation = StrictDecoder(schema, limits.rows, limits.depth)
        self.columns = ColumnDecoder(schema, self._explanation)
        """Reads rows that other protocols bring as columns, or as one matrix."""
        features = schema.features
        self._width = len(features)
        self._codes = {
            index: codes_of(feature)
            for index, feature in enumerate(features)
            if feature.type == "text"
        }
        self._refuse_unknown = schema.unknown_categories == "refuse"
        self._nullable = any(feature.nullable for feature in features)
        self._low = np.array([feature.low for feature in features])
        self._high = np.array([feature.high for feature in features])
        bounded = [f for f in features if f.type == "number"]
        self._lowest = max([-HUGE, *(f.low for f in bounded)])
        self._highest = min([HUGE, *(f.high for f in bounded)])
        self.only_numbers = len(bounded) == len(features) and not self._nullable
        """Whether every feature is a number that is never missing."""
        self._numbers = [i for i, feature in enumerate(features) if feature.type == "number"]
        self._colons = sum(feature.name.count(":") for feature in features)
        self._compiled, self._astuple = _compile(features)

    def decode(self, body: bytes) -> tuple[Matrix, bool]:
        """Return the matrix [rows, features] and whether probabilities are asked for.

        Raises InvalidRequest with every problem, or BodyTooLarge where there are too many rows.
        """
        try:
            return self.read(body)
        except FastDecodeFailed:
            return self.explain(body)

    def read(self, body: bytes) -> tuple[Matrix, bool]:
        """Decode with the compiled decoder alone; raises FastDecodeFailed."""
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise FastDecodeFailed from error

    def explain(self, body: bytes) -> tuple[Matrix, bool]:
        """Decode with the slow decoder alone; raises like `decode`."""
        return self._explanation.read(body)

    def explains_at_once(self, body: bytes) -> bool:
        """Return whether the slow decoder takes about a millisecond at most."""
        return len(body) <= _TINY and self._width <= _NARROW

    def one(self, body: bytes) -> tuple[Row, bool] | None:
        """Return the one row of a request and whether probabilities are asked for, else None.

        No matrix is made. None says nothing about the request: use `decode`.
        """
        try:
            rows, probabilities = self._read(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, FastDecodeFailed):
            return None
        if len(rows) != 1:
            return None
        row = self.checked(rows[0])
        return None if row is None else (row, probabilities)

    def checked(self, values: tuple[Any, ...]) -> Row | None:
        """Return the row of values that have the types of the features, in their order, else None.

        None says nothing about the values: they may be valid all the same.
        """
        if not self.only_numbers:
            return self._coded(values)
        if min(values) < self._lowest or max(values) > self._highest:
            return None
        return values

    def _coded(self, values: tuple[Any, ...]) -> Row | None:
        """Return a row of any types as numbers: texts as codes, NaN where a value is missing."""
        row = list(values)
        for index in self._numbers:
            number = row[index]
            if number is not None and not self._lowest <= number <= self._highest:
                return None
        for index, codes in self._codes.items():
            row[index] = code = codes.get(row[index], -1)
            if code < 0 and self._refuse_unknown:
                return None
        if self._nullable:
            row = [math.nan if value is None else value for value in row]
        return tuple(row)

    def _read(self, body: bytes) -> tuple[list[tuple[Any, ...]], bool]:
        if self._compiled is None:
            raise FastDecodeFailed
        request = self._compiled(body)
        instances = request.instances
        if not instances or len(instances) > self._max_rows:
            raise FastDecodeFailed
        keys = 1 + (request.probabilities is not msgspec.UNSET)
        if type(instances[0]) is tuple:
            rows = instances
            if len(rows) > 1 and any(type(row) is not tuple for row in rows):
                raise FastDecodeFailed
        else:
            keys += len(instances) * (self._width + self._colons)
            try:
                rows = list(map(self._astuple, instances))
            except TypeError:  # objects and arrays are mixed
                raise FastDecodeFailed from None
        # No parser refuses a repeated key. But all keys are known and none may be left out, so a
        # valid body has exactly this many colons, plus those in its texts.
        colons = body.count(b":")
        if colons != keys and (self._codes or self._colons):
            keys += sum(value.count(":") for row in rows for value in row if type(value) is str)
        if colons != keys or (b"\\" in body and (self._codes or self._colons)):
            raise FastDecodeFailed
        return rows, request.probabilities is True

    def _decode(self, body: bytes) -> tuple[Matrix, bool]:
        rows, probabilities = self._read(body)
        if not self._codes:
            matrix = np.array(rows, dtype=np.float64)  # None becomes NaN
        else:
            matrix = np.empty((len(rows), self._width))
            for index, column in enumerate(zip(*rows, strict=True)):
                codes = self._codes.get(index)
                matrix[:, index] = column if codes is None else [codes.get(v, -1) for v in column]
            if self._refuse_unknown and any((matrix[:, i] < 0).any() for i in self._codes):
                raise FastDecodeFailed
        if ((matrix < self._low) | (matrix > self._high)).any():
            raise FastDecodeFailed
        return matrix, probabilities


def _compile(
    features: Sequence[Feature],
) -> tuple[Callable[[bytes], Any] | None, Callable[[Any], tuple[Any, ...]]]:
    """Return msgspec's decoder of a request, or None where a name or the width forbids one."""
    types = [_KINDS[f.type] | None if f.nullable else _KINDS[f.type] for f in features]
    alike = len({feature.type for feature in features}) == 1
    instance: Any = None
    fields = [(f"f{index}", kind) for index, kind in enumerate(types)]
    names = {f"f{index}": feature.name for index, feature in enumerate(features)}
    if len(features) <= _WIDEST:
        try:
            instance = msgspec.defstruct(
                "Instance", fields, rename=names, forbid_unknown_fields=True, gc=False
            )
        except ValueError:  # msgspec takes no name with a quote, a backslash or a control character
            instance = None
    if alike:
        array: Any = tuple.__class_getitem__(tuple(types))
        instance = array if instance is None else instance | array
    if instance is None:
        return None, msgspec.structs.astuple
    request = msgspec.defstruct(
        "Request",
        [
            ("instances", list[instance]),
            ("probabilities", bool | msgspec.UnsetType, msgspec.UNSET),
        ],
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(request).decode, msgspec.structs.astuple
