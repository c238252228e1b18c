"""Parquet files, read into tables: columns of numbers, booleans and texts, and nothing else."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.common.errors import BodyTooLarge, clip
from service.schema.file_options import NO_OPTIONS, FileOptions
from service.worker.data.column_types import Typed, Wanted
from service.worker.data.selection import build_table, column_source, typed
from service.worker.data.table import LIMITS, Column, Limits, Table, as_floats, refuse

_EXACT_DIGITS = 15
"""Decimal digits that survive a conversion to float64 and back."""


def read_parquet(
    data: bytes,
    limits: Limits = LIMITS,
    at: str = "",
    options: FileOptions = NO_OPTIONS,
    target: str | None = None,
) -> Table:
    """Read a Parquet file; `at` is the pointer that problems get.

    Null, and NaN among numbers, is missing. The index columns that pandas adds are left out.
    Raises UnusableData or BodyTooLarge, the latter before anything is decompressed.
    """
    table = read_arrow_table(data, limits, at)
    sources = [
        column_source(field.name, partial(_read, chunks))
        for field, chunks in zip(table.schema, table.columns, strict=True)
    ]
    refusal = "The Parquet file cannot be used"
    return build_table(
        sources, options, target, at, refusal, pandas_index=index_of_pandas(table.schema)
    )


def read_arrow_table(data: Any, limits: Limits = LIMITS, at: str = "") -> Any:
    """Read the same file, bytes or a buffer of Arrow's, into an Arrow table.

    Raises as `read_parquet` does.
    """
    try:
        # Larger metadata is an attack: 10,000 columns take about 1 MB a row group.
        file = pq.ParquetFile(
            pa.BufferReader(data),
            thrift_string_size_limit=1 << 26,
            thrift_container_size_limit=1 << 22,
        )
        metadata = file.metadata
        limits.check(metadata.num_rows, metadata.num_columns)
        size = sum(
            metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)
        )
        if size > limits.bytes:
            raise BodyTooLarge("The Parquet file, decompressed,", limits.bytes, "bytes")
        if not metadata.num_rows or not len(file.schema_arrow):
            raise refuse("The Parquet file has no rows.", at)
        table = file.read(use_threads=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise refuse(
            "The Parquet file cannot be read; it is damaged, or no Parquet.", at
        ) from error
    limits.check(table.num_rows, table.num_columns)
    return table


def index_of_pandas(schema: Any) -> frozenset[str]:
    """Return the names of the columns that hold the index of a pandas frame."""
    try:
        described = (schema.pandas_metadata or {}).get("index_columns", [])
        names = {name for name in described if isinstance(name, str)}
    except (ValueError, AttributeError, TypeError):
        names = set()  # these metadata come from the client and may hold anything
    return frozenset(names) | {n for n in schema.names if n.startswith("__index_level_")}


def _read(chunks: Any, wanted: Wanted) -> Typed:
    if reason := unusable(chunks.type):
        raise ValueError(reason)
    return typed(_column(chunks), wanted)


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


def _column(chunks: Any) -> Column:
    """Return one column; raises ValueError with what is wrong."""
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
            return Column("number", _large_integers(chunks))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = as_floats(chunks.cast(pa.float64()))
        if np.isinf(values).any():
            row = int(np.argmax(np.isinf(values))) + 1
            raise ValueError(f"row {row:,} is infinite")
        return Column("number", values)
    texts = chunks.cast(pa.string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ValueError("holds text that is not UTF-8") from error
    if pc.any(pc.match_substring(texts, "\0")).as_py():
        raise ValueError("holds NUL characters")
    # Through the distinct values, so that equal texts share one object.
    coded = texts.combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Column("text", np.array([*coded.dictionary.to_pylist(), None], dtype=object)[codes])


def _large_integers(chunks: Any) -> Any:
    values = as_floats(chunks.cast(pa.float64(), safe=False))
    whole = chunks.to_pylist()
    for row in np.flatnonzero(np.abs(values) >= 2.0**53):
        if int(values[row]) != whole[row]:
            raise ValueError(
                f"row {row + 1:,} holds an integer beyond 2^53, which would lose digits; if the "
                'column is an identifier, leave it out by "exclude"'
            )
    return values
