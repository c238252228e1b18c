"""Parquet files: columns of numbers, booleans and texts, and nothing else."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.common.domain import Note
from service.common.errors import BodyTooLarge
from service.schema.file_options import NO_OPTIONS, FileOptions
from service.worker.data.column_types import Typed, Wanted
from service.worker.data.selection import build_table, column_source, typed
from service.worker.data.stored_column import StoredColumn, column_of, unusable
from service.worker.data.table import LIMITS, Limits, Table, refuse

REFUSAL = "The Parquet file cannot be used"
"""How the sentence of an error begins."""
_CELLS = 2**20
"""Cells of the rows that are read at a time."""
_BUFFER_BYTES = 2**18


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
    return build_table(
        sources, options, target, at, REFUSAL, pandas_index=index_of_pandas(table.schema)
    )


def read_arrow_table(data: Any, limits: Limits = LIMITS, at: str = "") -> Any:
    """Read the same file, bytes or a buffer of Arrow's, into an Arrow table.

    Raises as `read_parquet` does.
    """
    file = ParquetRows(pa.BufferReader(data), limits, at)
    table = file.read()
    limits.check(table.num_rows, table.num_columns)
    return table


class ParquetRows:
    """A Parquet file that was looked at, and whose rows are read by `parts`."""

    refusal = REFUSAL

    def __init__(self, source: Path | Any, limits: Limits = LIMITS, at: str = "") -> None:
        """Look at a file, or at one that Arrow has open; raises as `read_parquet` does."""
        self._at = at
        try:
            # Larger metadata is an attack: 10,000 columns take about 1 MB a row group.
            self._file = pq.ParquetFile(
                str(source) if isinstance(source, Path) else source,
                thrift_string_size_limit=1 << 26,
                thrift_container_size_limit=1 << 22,
                # Otherwise all that is read ahead is kept to the end.
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES if isinstance(source, Path) else 0,
            )
            metadata = self._file.metadata
            limits.check(metadata.num_rows, metadata.num_columns)
            size = sum(
                metadata.row_group(index).total_byte_size
                for index in range(metadata.num_row_groups)
            )
            if size > limits.bytes:
                raise BodyTooLarge("The Parquet file, decompressed,", limits.bytes, "bytes")
            self._schema = self._file.schema_arrow
            if not metadata.num_rows or not len(self._schema):
                raise refuse("The Parquet file has no rows.", at)
            limits.check(metadata.num_rows, len(self._schema))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._unreadable() from error
        self._rows = metadata.num_rows

    @property
    def names(self) -> list[str]:
        """The names of the columns, as in the file."""
        return list(self._schema.names)

    @property
    def pandas_index(self) -> frozenset[str]:
        """The names of the columns that hold the index of a pandas frame."""
        return index_of_pandas(self._schema)

    def column(self, place: int, wanted: Wanted) -> StoredColumn:
        """Return what looks at a column part by part."""
        return StoredColumn(self._schema.field(place).type, wanted)

    def notes(self) -> list[Note]:
        """Return what is to be said of the file as a whole."""
        return []

    def parts(self) -> Iterator[list[Any]]:
        """Yield the columns of the next rows; raises UnusableData."""
        at_once = max(_CELLS // len(self._schema), 1024)
        rows = 0
        try:
            for batch in self._file.iter_batches(batch_size=at_once, use_threads=False):
                rows += batch.num_rows
                yield batch.columns
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._unreadable() from error
        if rows != self._rows:
            raise self._unreadable()

    def read(self) -> Any:
        """Return all rows as an Arrow table; raises UnusableData."""
        try:
            return self._file.read(use_threads=False)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._unreadable() from error

    def _unreadable(self) -> Exception:
        return refuse("The Parquet file cannot be read; it is damaged, or no Parquet.", self._at)


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
    return typed(column_of(chunks), wanted)
