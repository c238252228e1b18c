"""Rows to predict in columns (CSV, Parquet, an Arrow stream), converted to a schema's matrix.

Unlike a training's rows, whose values decide what a column is, these are read as the schema says: a
text of digits stays a text. Errors are reported as for JSON, by the same code, cell by cell.
Runs in a child process: the formats are foreign bytes to large libraries.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.common.domain import RowsMedia
from service.common.errors import UnusableData, clip
from service.schema.contract import Feature, Schema
from service.schema.explanation import MOST, StrictDecoder
from service.worker.data.csv import read_fields, read_numbers_at_once
from service.worker.data.parquet import read_arrow_table
from service.worker.data.table import Limits, check_names

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")

Cells = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""A column of the matrix, and which of its cells are wrong."""


def read_matrix(
    path: Path, media: RowsMedia, schema: Schema, limits: Limits
) -> NDArray[np.float64]:
    """Return the matrix [rows, features] of a file.

    Raises InvalidInput with what the schema refuses, UnusableData or UnsupportedMediaType for what
    cannot be read at all, or BodyTooLarge.
    """
    if media == "csv":
        columns = _read_csv(path.read_bytes(), schema, limits)
    elif media == "parquet":
        columns = _plain(read_arrow_table(_mapped(path), limits))
    else:
        columns = _read_stream(_mapped(path), limits)
    rows = len(next(iter(columns.values())))
    if set(columns) != {feature.name for feature in schema.features}:
        raise _explained(schema, columns, [0], rows, 1, media)
    # Column-major, as it is filled; the prediction copies it row-major part by part.
    matrix = np.empty((rows, len(schema.features)), order="F")
    wrong = np.zeros(rows, np.bool_)
    convert = _TEXTUAL if media == "csv" else _TYPED
    for index, feature in enumerate(schema.features):
        matrix[:, index], bad = convert[feature.type](feature, columns[feature.name])
        if feature.type == "number":
            values = matrix[:, index]
            bad = bad | (values < feature.low) | (values > feature.high)
        elif feature.type == "text" and schema.unknown_categories == "refuse":
            unknown = matrix[:, index] < 0
            bad = bad | (unknown & ~_missing(columns[feature.name]))
        if not feature.nullable:
            bad = bad | _missing(columns[feature.name])
        wrong |= bad
    if wrong.any():
        first = np.flatnonzero(wrong)[:MOST].tolist()
        raise _explained(schema, columns, first, rows, int(wrong.sum()), media)
    return matrix


def _mapped(path: Path) -> Any:
    """Return a file as a buffer without copying it."""
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()


def _read_csv(data: bytes, schema: Schema, limits: Limits) -> dict[str, Any]:
    numbers = {feature.name for feature in schema.features if feature.type == "number"}
    at_once = read_numbers_at_once(data, numbers)
    if at_once is not None and len(next(iter(at_once.values()))):
        limits.check(len(next(iter(at_once.values()))), len(at_once))
        return at_once
    return read_fields(data, limits)


def _read_stream(data: Any, limits: Limits) -> dict[str, Any]:
    """Read an Arrow IPC stream into a column each."""
    try:
        with pa.ipc.open_stream(pa.BufferReader(data)) as reader:
            batches, rows = [], 0
            check_names(reader.schema.names, "")
            limits.check(1, len(reader.schema.names))
            for batch in reader:
                rows += batch.num_rows
                limits.check(rows, batch.num_columns)
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UnusableData(
            "The Arrow stream cannot be read; it is damaged, or none (a file has another format).",
            [],
        ) from error
    if not rows:
        raise UnusableData("The Arrow stream has no rows.", [])
    return _plain(table)


def _plain(table: Any) -> dict[str, Any]:
    """Return a table's columns, each of one chunk, and none as codes of a dictionary."""
    columns: dict[str, Any] = {}
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise UnusableData("The columns hold text that is not UTF-8.", []) from error
    for name, chunks in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(chunks.type):
            chunks = chunks.cast(chunks.type.value_type)
        columns[name] = chunks.combine_chunks()
    return columns


def _missing(array: Any) -> NDArray[np.bool_]:
    """Return a mask of missing cells: null, NaN in numbers, empty fields of a CSV."""
    gone = pc.is_null(array, nan_is_null=pa.types.is_floating(array.type))
    return np.asarray(gone.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _no_cells(_: Feature, array: Any) -> Cells:
    """Mark every cell that is not missing as wrong: the column is of another type."""
    return np.full(len(array), np.nan), ~_missing(array)


def _typed_numbers(feature: Feature, array: Any) -> Cells:
    kind, types = array.type, pa.types
    if types.is_null(kind):
        return np.full(len(array), np.nan), np.zeros(len(array), np.bool_)
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)):
        return _no_cells(feature, array)
    floats = array.cast(pa.float64(), safe=False)
    return _floats(floats), np.zeros(len(array), np.bool_)


def _typed_booleans(feature: Feature, array: Any) -> Cells:
    if not (pa.types.is_boolean(array.type) or pa.types.is_null(array.type)):
        return _no_cells(feature, array)
    floats = array.cast(pa.bool_()).cast(pa.uint8()).cast(pa.float64())
    return _floats(floats), np.zeros(len(array), np.bool_)


def _typed_texts(feature: Feature, array: Any) -> Cells:
    kind, types = array.type, pa.types
    if not (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    ):
        return _no_cells(feature, array)
    return _texts(feature, array.cast(pa.string()))


def _texts(feature: Feature, array: Any) -> Cells:
    """Return the code of each text's category."""
    found = pc.index_in(array, pa.array(feature.categories, pa.string()), skip_nulls=True)
    codes = found.cast(pa.float64()).fill_null(-1.0).to_numpy(zero_copy_only=False)
    missing = _missing(array)
    if missing.any():
        codes = np.where(missing, float(feature.missing_code), codes)
    return np.asarray(codes), np.zeros(len(array), np.bool_)


def _floats(array: Any) -> NDArray[np.float64]:
    return np.asarray(array.fill_null(float("nan")).to_numpy(zero_copy_only=False))


def _field_numbers(feature: Feature, array: Any) -> Cells:
    if pa.types.is_floating(array.type):
        return _typed_numbers(feature, array)
    try:
        values = _floats(array.cast(pa.float64()))
    except pa.ArrowInvalid:
        return _odd_numbers(array)
    if not np.isfinite(values).all() and (np.isinf(values) | np.isnan(values)).sum() > (
        array.null_count
    ):
        return _odd_numbers(array)
    return values, np.zeros(len(array), np.bool_)


def _odd_numbers(array: Any) -> Cells:
    """Read a column in which a field is not a plain finite number, by its distinct fields."""
    return _by_distinct(array, lambda text: float(text) if _NUMBER.fullmatch(text) else None)


def _field_booleans(feature: Feature, array: Any) -> Cells:  # noqa: ARG001
    truth = {"true": 1.0, "false": 0.0}
    return _by_distinct(array, lambda text: truth.get(text.strip().lower()))


def _by_distinct(array: Any, read: Callable[[str], float | None]) -> Cells:
    coded = array.dictionary_encode()
    found = [read(text) for text in coded.dictionary.to_pylist()]
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    values = np.array([np.nan if value is None else value for value in found] + [np.nan])
    wrong = np.array([value is None or np.isinf(value) for value in found] + [False])
    return values[codes], wrong[codes]


_TYPED: Mapping[str, Callable[[Feature, Any], Cells]] = {
    "number": _typed_numbers,
    "boolean": _typed_booleans,
    "text": _typed_texts,
}
_TEXTUAL: Mapping[str, Callable[[Feature, Any], Cells]] = {
    "number": _field_numbers,
    "boolean": _field_booleans,
    "text": _texts,
}


def _explained(
    schema: Schema,
    columns: Mapping[str, Any],
    wrong: list[int],
    rows: int,
    count: int,
    media: RowsMedia,
) -> Exception:
    """Return what is wrong with these rows, as if they had been sent as JSON."""
    types = {feature.name: feature.type for feature in schema.features}
    instances = {
        row: {
            name: _value(array[row].as_py(), types.get(name) if media == "csv" else None)
            for name, array in columns.items()
        }
        for row in wrong
    }
    return StrictDecoder(schema, rows, 1).of_rows(instances, rows, count)


def _value(value: Any, read_as: str | None) -> Any:
    """Return a cell as it would be in JSON; a field of a CSV as the feature's type reads it."""
    if isinstance(value, str):
        if read_as == "number" and _NUMBER.fullmatch(value):
            return float(value)
        if read_as == "boolean" and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        return value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and np.isnan(value):
        return None
    return value if isinstance(value, bool | int | float | list | type(None)) else clip(str(value))
