"""A column of rows to predict, converted to cells of a schema's matrix.

Each function returns the cells, and which of them are wrong.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.schema.contract import Feature, Schema, Written
from service.schema.file_options import MARKERS
from service.worker.data.column_types import TRUTH, text_of, without
from service.worker.data.number_texts import doubles_of

Cells = tuple[NDArray[np.float64], NDArray[np.bool_]]

_FLAGS = {**TRUTH, "1": 1.0, "0": 0.0}
"""How a file writes booleans."""


def missing_cells(array: Any) -> NDArray[np.bool_]:
    """Return a mask of missing cells: null, and NaN in numbers."""
    gone = pc.is_null(array, nan_is_null=pa.types.is_floating(array.type))
    return np.asarray(gone.to_numpy(zero_copy_only=False), dtype=np.bool_)


def is_text(array: Any) -> bool:
    """Return whether an Arrow array holds texts."""
    kind, types = array.type, pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def as_read(array: Any, feature: Feature, schema: Schema) -> Any:
    """Return a column with null for every text that means a missing value of the feature."""
    if not is_text(array):
        return array
    array = array.cast(pa.string())
    if schema.missing is not None:
        array = without(array, schema.missing)
    if feature.type == "text":
        return array
    gone = pc.is_in(pc.utf8_trim_whitespace(array), pa.array(["", *MARKERS], pa.string()))
    return pc.if_else(gone, pa.scalar(None, pa.string()), array)


def written_of(feature: Feature, comma_is_decimal: bool) -> Written:
    """Return how a file writes the numbers of a feature."""
    if feature.written in ("", "plain"):
        return "decimal comma" if comma_is_decimal else "plain"
    return feature.written


def cells_of(feature: Feature, array: Any, from_csv: bool, comma_is_decimal: bool) -> Cells:
    """Convert a column, as `as_read` returns it, to the cells of its feature."""
    if feature.type == "number" and is_text(array):
        if not from_csv and not feature.written:
            return _no_cells(array)
        return _numbers_from_texts(array, written_of(feature, comma_is_decimal))
    return _CONVERT[feature.type](feature, array)


def _no_cells(array: Any) -> Cells:
    """Mark every cell that is not missing as wrong: the column is of another type."""
    return np.full(len(array), np.nan), ~missing_cells(array)


def _all_right(values: Any) -> Cells:
    cells = np.asarray(values.fill_null(float("nan")).to_numpy(zero_copy_only=False))
    return cells, np.zeros(len(cells), np.bool_)


def _numbers_from_texts(array: Any, written: Written) -> Cells:
    try:
        values = array.cast(pa.float64())
        if pc.all(pc.is_finite(values), min_count=0).as_py():
            return _all_right(values)
    except pa.ArrowInvalid:
        pass
    coded = array.dictionary_encode()
    found = doubles_of(coded.dictionary, written)
    return _by_distinct(coded, found.to_pylist())


def _by_distinct(coded: Any, found: list[float | None]) -> Cells:
    """Return cells by what each distinct text was read as; None and infinity are wrong."""
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    values = np.array([np.nan if value is None else value for value in found] + [np.nan])
    wrong = np.array([value is None or np.isinf(value) for value in found] + [False])
    return values[codes], wrong[codes]


def _numbers(_: Feature, array: Any) -> Cells:
    kind, types = array.type, pa.types
    if types.is_null(kind):
        return _all_right(array.cast(pa.float64()))
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)):
        return _no_cells(array)
    return _all_right(array.cast(pa.float64(), safe=False))


def _booleans(_: Feature, array: Any) -> Cells:
    kind, types = array.type, pa.types
    if types.is_boolean(kind) or types.is_null(kind):
        return _all_right(array.cast(pa.bool_()).cast(pa.uint8()).cast(pa.float64()))
    if is_text(array):
        coded = array.dictionary_encode()
        texts = coded.dictionary.to_pylist()
        return _by_distinct(coded, [_FLAGS.get(text.strip().lower()) for text in texts])
    if not (types.is_integer(kind) or types.is_floating(kind)):
        return _no_cells(array)
    values, _wrong = _all_right(array.cast(pa.float64(), safe=False))
    return values, ~np.isin(values, (0.0, 1.0)) & ~np.isnan(values)


def _texts(feature: Feature, array: Any) -> Cells:
    """Return the code of each text's category."""
    texts = spelled(array)
    if texts is None:
        return _no_cells(array)
    array = texts
    found = category_of(array, feature)
    codes = found.cast(pa.float64()).fill_null(-1.0).to_numpy(zero_copy_only=False)
    missing = missing_cells(array)
    if missing.any():
        codes = np.where(missing, np.nan, codes)
    return np.asarray(codes), np.zeros(len(array), np.bool_)


def category_of(texts: Any, feature: Feature) -> Any:
    """Return the index of each text's category, null for none.

    A blank around a text counts only where two categories differ in it: it comes and goes with the
    quotes of a CSV file.
    """
    found = pc.index_in(texts, pa.array(feature.categories, pa.string()), skip_nulls=True)
    if found.null_count == texts.null_count:
        return found
    trimmed = [category.strip() for category in feature.categories]
    known = [text if trimmed.count(text) == 1 else None for text in trimmed]
    again = pc.index_in(
        pc.utf8_trim_whitespace(texts), pa.array(known, pa.string()), skip_nulls=True
    )
    return pc.coalesce(found, again)


_CONVERT: Mapping[str, Callable[[Feature, Any], Cells]] = {
    "number": _numbers,
    "boolean": _booleans,
    "text": _texts,
}


def spelled(array: Any) -> Any:
    """Return a column as texts, numbers as training spells them; None for another type."""
    kind, types = array.type, pa.types
    if is_text(array) or types.is_null(kind):
        return array.cast(pa.string())
    if types.is_boolean(kind):
        return array.cast(pa.string())
    if not (types.is_integer(kind) or types.is_floating(kind)):
        return None
    gone = missing_cells(array).tolist()
    values = array.cast(pa.float64(), safe=False).fill_null(0.0).to_pylist()
    texts = [
        None if missing else text_of(value, "number")
        for value, missing in zip(values, gone, strict=True)
    ]
    return pa.array(texts, pa.string())
