"""Rows to predict in columns (CSV, Parquet, an Arrow stream), converted to a schema's matrix.

Unlike a training's rows, whose values decide what a column is, these are read as the schema says: a
text of digits stays a text. Errors are reported as for JSON, by the same code, cell by cell.
Runs in a child process: the formats are foreign bytes to large libraries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.common.domain import RowsMedia
from service.common.errors import UnusableData, clip
from service.schema.contract import Feature, Schema
from service.schema.explanation import MOST, StrictDecoder
from service.worker.data.cells import (
    as_read,
    category_of,
    cells_of,
    missing_cells,
    spelled,
    written_of,
)
from service.worker.data.csv import read_fields, read_numbers_at_once
from service.worker.data.number_texts import doubles_of
from service.worker.data.parquet import index_of_pandas, read_arrow_table
from service.worker.data.table import Limits, Table, check_names, nameless, refuse


@dataclass(frozen=True, slots=True)
class Rows:
    """The columns of a file, in its order."""

    names: Sequence[str]
    columns: Sequence[Any]
    index: frozenset[str] = frozenset()
    """The columns in which pandas wrote the index of its frame."""
    from_csv: bool = False
    comma_is_decimal: bool = False
    looks_like_data: bool = False

    def select(self, schema: Schema) -> dict[str, Any]:
        """Return the columns by the names of features, without those that training left out."""
        features = {feature.name for feature in schema.features}
        trimmed = {name.strip(): name for name in features}
        kept: list[tuple[int, str]] = []
        for place, (name, array) in enumerate(zip(self.names, self.columns, strict=True)):
            called = name if name in features else trimmed.get(name.strip(), name.strip())
            if called not in features:
                known = called or nameless(place)
                if called in self.index or known in schema.excluded:
                    continue
                if known == nameless(0) and _is_whole(array):
                    continue
            kept.append((place, called))
        check_names(kept, "")
        return {name: self.columns[place] for place, name in kept}


def read_matrix(
    path: Path,
    media: RowsMedia,
    schema: Schema,
    limits: Limits,
    encoding: str = "utf-8",
    drop_others: bool = False,
) -> NDArray[np.float64]:
    """Return the matrix [rows, features] of a file.

    With `drop_others` it may have more columns than those, where it has all of them.

    Raises InvalidInput with what the schema refuses, UnusableData or UnsupportedMediaType for what
    cannot be read at all, or BodyTooLarge.
    """
    file = open_rows(path, media, schema, limits, encoding)
    columns = file.select(schema)
    if drop_others and all(feature.name in columns for feature in schema.features):
        columns = {feature.name: columns[feature.name] for feature in schema.features}
    return matrix_of_columns(file, columns, schema)


def open_rows(
    path: Path, media: RowsMedia, schema: Schema, limits: Limits, encoding: str = "utf-8"
) -> Rows:
    """Return the columns of a file; raises UnusableData, UnsupportedMediaType or BodyTooLarge."""
    if media == "csv":
        return _read_csv(path.read_bytes(), schema, limits, encoding)
    if media == "parquet":
        return _plain(read_arrow_table(_mapped(path), limits))
    return _read_stream(_mapped(path), limits)


def matrix_of_columns(
    file: Rows, columns: Mapping[str, Any], schema: Schema
) -> NDArray[np.float64]:
    """Return the matrix of columns that were selected from a file; raises InvalidInput."""
    rows = len(file.columns[0])
    columns = dict(columns)
    for feature in schema.features:
        if feature.name in columns:
            columns[feature.name] = as_read(columns[feature.name], feature, schema)
    if set(columns) != {feature.name for feature in schema.features}:
        if file.looks_like_data:
            raise refuse("The first line looks like data; it has to name the features.", "")
        raise _explained(schema, columns, [0], rows, rows, file)
    matrix, wrong = _cells(schema, columns, file.from_csv, file.comma_is_decimal)
    if wrong.any():
        first = np.flatnonzero(wrong)[:MOST].tolist()
        raise _explained(schema, columns, first, rows, int(wrong.sum()), file)
    return matrix


def matrix_of(table: Table, schema: Schema) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the matrix [rows, features] of a table, and which of its rows the schema refuses.

    The table has all features, each of its type.
    """
    arrays = {feature.name: table.columns[feature.name].arrow() for feature in schema.features}
    return _cells(schema, arrays, from_csv=False, comma_is_decimal=False)


def _cells(
    schema: Schema, columns: Mapping[str, Any], from_csv: bool, comma_is_decimal: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the matrix of all features' columns, and which of the rows are refused."""
    rows = len(next(iter(columns.values())))
    # Column-major, as it is filled; the prediction copies it row-major part by part.
    matrix = np.empty((rows, len(schema.features)), order="F")
    wrong = np.zeros(rows, np.bool_)
    for index, feature in enumerate(schema.features):
        array = columns[feature.name]
        matrix[:, index], bad = cells_of(feature, array, from_csv, comma_is_decimal)
        if feature.type == "number":
            values = matrix[:, index]
            bad = bad | (values < feature.low) | (values > feature.high)
        elif feature.type == "text" and schema.unknown_categories == "refuse":
            unknown = matrix[:, index] < 0
            bad = bad | (unknown & ~missing_cells(array))
        if not feature.nullable:
            bad = bad | missing_cells(array)
        wrong |= bad
    return matrix, wrong


def _mapped(path: Path) -> Any:
    """Return a file as a buffer without copying it."""
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()


def _read_csv(data: bytes, schema: Schema, limits: Limits, encoding: str) -> Rows:
    numbers = {feature.name for feature in schema.features if feature.type == "number"}
    at_once = read_numbers_at_once(data, numbers) if encoding == "utf-8" else None
    if at_once is not None and len(next(iter(at_once.values()))):
        limits.check(len(next(iter(at_once.values()))), len(at_once))
        return Rows(list(at_once), list(at_once.values()), from_csv=True)
    fields = read_fields(data, limits, encoding=encoding)
    comma_is_decimal, is_data = fields.dialect.comma_is_decimal, fields.looks_like_data
    return Rows(fields.names, fields.columns, frozenset(), True, comma_is_decimal, is_data)


def _read_stream(data: Any, limits: Limits) -> Rows:
    """Read an Arrow IPC stream."""
    try:
        with pa.ipc.open_stream(pa.BufferReader(data)) as reader:
            batches, rows = [], 0
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
    if not rows or not len(table.schema):
        raise UnusableData("The Arrow stream has no rows.", [])
    return _plain(table)


def _plain(table: Any) -> Rows:
    """Return a table's columns, each of one chunk, and none as codes of a dictionary."""
    columns: list[Any] = []
    try:
        table.validate(full=True)
        names = table.column_names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise UnusableData("The columns hold text that is not UTF-8.", []) from error
    for chunks in table.columns:
        if pa.types.is_dictionary(chunks.type):
            chunks = chunks.cast(chunks.type.value_type)
        columns.append(chunks.combine_chunks())
    return Rows(names, columns, index_of_pandas(table.schema))


def _is_whole(array: Any) -> bool:
    """Return whether a column holds whole numbers alone, as the index of a frame does."""
    try:
        return bool(array.null_count == 0 and array.cast(pa.int64()) is not None)
    except pa.ArrowException:
        return False


def _explained(
    schema: Schema,
    columns: Mapping[str, Any],
    wrong: list[int],
    rows: int,
    count: int,
    file: Rows,
) -> Exception:
    """Return what is wrong with these rows, as if they had been sent as JSON."""
    features = {feature.name: feature for feature in schema.features}
    instances = {
        row: {name: _value(array[row], features.get(name), file) for name, array in columns.items()}
        for row in wrong
    }
    return StrictDecoder(schema, rows, 1).of_rows(instances, rows, count)


def _value(scalar: Any, feature: Feature | None, file: Rows) -> Any:
    """Return a cell as it would be in JSON: as its feature reads it, if it can."""
    value = scalar.as_py()
    if feature is not None and value is not None:
        array = pa.array([value], scalar.type)
        if feature.type == "text":
            texts = spelled(array)
            if texts is not None:
                code = category_of(texts, feature)[0].as_py()
                value = texts[0].as_py() if code is None else feature.categories[code]
        elif feature.type == "boolean":
            cells, bad = cells_of(feature, array, file.from_csv, file.comma_is_decimal)
            value = value if bad[0] or np.isnan(cells[0]) else bool(cells[0])
        elif isinstance(value, str) and (file.from_csv or feature.written):
            read = doubles_of(array, written_of(feature, file.comma_is_decimal))[0].as_py()
            value = value if read is None else read
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and np.isnan(value):
        return None
    known = isinstance(value, bool | int | float | str | list | type(None))
    return value if known else clip(str(value))
