"""A column of a Parquet file, whose type the file knows; it may come in parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.common.errors import clip
from service.schema.contract import FeatureType, Written
from service.worker.data.column_types import Wanted, without
from service.worker.data.selection import typed
from service.worker.data.table import Column, as_floats, as_objects
from service.worker.data.text_column import Decided, TextColumn

_EXACT_DIGITS = 15
"""Decimal digits that survive a conversion to float64 and back."""


@dataclass(frozen=True, slots=True)
class StoredAs:
    """What a column becomes, and how its parts are converted."""

    type: FeatureType
    wanted: Wanted
    notes: Sequence[str] = ()
    written: Written = ""
    from_texts: Decided | None = None
    """How texts become numbers or booleans."""

    def arrow(self, array: Any) -> Any:
        """Convert a part that was looked at to an Arrow array of double, bool or string."""
        chunks = pa.chunked_array([array])
        if _is_texts(array.type):
            texts = checked_texts(chunks).combine_chunks()
            if self.from_texts is not None:
                return self.from_texts.arrow(texts)
            return without(texts, self.wanted.missing)
        return typed(column_of(chunks), self.wanted)[0].arrow()


class StoredColumn:
    """Looks at a column part by part, and then says what it becomes."""

    def __init__(self, kind: Any, wanted: Wanted) -> None:
        self._kind, self._wanted = kind, wanted
        self._rows = 0
        self._refusal = unusable(kind)
        """What is wrong with the values."""
        self._misfit = ""
        """What is wrong with the first value that is not of the type that is wanted."""
        of_texts = _is_texts(kind)
        converts = of_texts and wanted.type in ("number", "boolean")
        self._texts = TextColumn(Wanted(wanted.type, wanted.missing)) if converts else None
        own: FeatureType = "boolean" if _is_booleans(kind) else "text" if of_texts else "number"
        self._type: FeatureType = wanted.type or own

    def look(self, array: Any) -> None:
        """Look at the next part."""
        start, self._rows = self._rows, self._rows + len(array)
        if self._refusal:
            return
        chunks = pa.chunked_array([array])
        try:
            if _is_texts(self._kind):
                texts = checked_texts(chunks)
                if self._texts is not None:
                    self._texts.look(texts.combine_chunks())
                return
            column = column_of(chunks, start)
        except ValueError as error:
            self._refusal = str(error)
            return
        if not self._misfit:
            try:
                typed(column, self._wanted, start)
            except ValueError as error:
                self._misfit = str(error)

    def decide(self) -> StoredAs:
        """Return what the column becomes; raises ValueError with what is wrong with it."""
        if self._refusal or self._misfit:
            raise ValueError(self._refusal or self._misfit)
        if self._texts is not None:
            decided = self._texts.decide()
            return StoredAs(decided.type, self._wanted, decided.notes, decided.written, decided)
        return StoredAs(self._type, self._wanted)


def _is_texts(kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_booleans(kind: Any) -> bool:
    return bool(pa.types.is_boolean(kind.value_type if pa.types.is_dictionary(kind) else kind))


def unusable(kind: Any) -> str:
    """Return why a column of this Arrow type cannot be read; empty if it can."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_temporal(kind):
        return (
            "it holds dates or times; send unix seconds as a number, or year, month and day as "
            'columns of their own, or leave it out by "exclude"'
        )
    if pa.types.is_nested(kind):
        return "it is nested; send one value a row"
    if pa.types.is_decimal(kind) and kind.precision > _EXACT_DIGITS:
        return f"it is a decimal of more than {_EXACT_DIGITS} digits; send a double"
    if _is_plain(kind):
        return ""
    return f"it is of the type {clip(kind)}; send numbers, booleans or text"


def _is_plain(kind: Any) -> bool:
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_boolean(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    )


def column_of(chunks: Any, first_row: int = 0) -> Column:
    """Return a column, or the part that begins with this row.

    Raises ValueError with what is wrong.
    """
    kind = chunks.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        chunks = chunks.cast(kind)
    if pa.types.is_null(kind):
        return Column("number", np.full(len(chunks), np.nan))
    if pa.types.is_boolean(kind):
        return Column("boolean", as_floats(chunks.cast(pa.uint8()).cast(pa.float64())))
    if pa.types.is_integer(kind):
        try:
            return Column("number", as_floats(chunks.cast(pa.float64())))
        except pa.ArrowInvalid:
            return Column("number", _large_integers(chunks, first_row))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = as_floats(chunks.cast(pa.float64()))
        if np.isinf(values).any():
            row = first_row + int(np.argmax(np.isinf(values))) + 1
            raise ValueError(f"row {row:,} is infinite")
        return Column("number", values)
    return Column("text", as_objects(checked_texts(chunks).combine_chunks()))


def checked_texts(chunks: Any) -> Any:
    """Return texts as Arrow's strings; raises ValueError with what is wrong."""
    texts = chunks.cast(pa.string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ValueError("holds text that is not UTF-8") from error
    if pc.any(pc.match_substring(texts, "\0")).as_py():
        raise ValueError("holds NUL characters")
    return texts


def _large_integers(chunks: Any, first_row: int) -> Any:
    values = as_floats(chunks.cast(pa.float64(), safe=False))
    whole = chunks.to_pylist()
    for row in np.flatnonzero(np.abs(values) >= 2.0**53):
        if int(values[row]) != whole[row]:
            raise ValueError(
                f"row {first_row + row + 1:,} holds an integer beyond 2^53, which would lose "
                'digits; if the column is an identifier, leave it out by "exclude"'
            )
    return values
