"""Rows in their canonical form: a Parquet file of double, bool and string columns, and its digest.

A file is written and read by row groups, so that it may be larger than memory.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.common.domain import Note
from service.schema.contract import FeatureType, Written

_GROUP_BYTES = 16 * 2**20
"""Bytes of a row group in memory, unless it has more than a thousand columns."""
_CHUNK_BYTES = 16 * 2**10
"""Bytes of a column in a row group, at least: the file's index grows with each."""
_READING = "service.reading"
"""The key of a Parquet file's metadata that says how the rows were read from another file."""
_ARROW: Mapping[FeatureType, Any] = {
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows were read from another file."""

    written: Mapping[str, Written] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    missing: tuple[str, ...] | None = None
    excluded: tuple[str, ...] = ()


class CanonicalWriter:
    """Writes the file as rows come; nothing is left to write after `finish`."""

    def __init__(self, sink: Path | BinaryIO, types: Mapping[str, FeatureType]) -> None:
        self._types = dict(types)
        self._schema = pa.schema([pa.field(name, _ARROW[kind]) for name, kind in types.items()])
        self._writer = pq.ParquetWriter(
            sink if not isinstance(sink, Path) else str(sink),
            self._schema,
            compression="zstd",
            version="2.6",
            store_schema=False,
        )
        self._full = max(_GROUP_BYTES, _CHUNK_BYTES * len(types))
        self._waiting: list[Any] = []
        self._bytes = 0
        self.rows = 0
        self._missing = dict.fromkeys(types, 0)

    def __enter__(self) -> "CanonicalWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    def write(self, arrays: Sequence[Any]) -> None:
        """Take the next rows, an Arrow array a column."""
        part = pa.Table.from_arrays(arrays, schema=self._schema)
        self.rows += part.num_rows
        for name, array in zip(self._missing, arrays, strict=True):
            self._missing[name] += array.null_count
        at_once = max(self._full * part.num_rows // max(4 * part.nbytes, 1), 1)
        for start in range(0, part.num_rows, at_once):
            piece = part.slice(start, at_once)
            self._waiting.append(piece)
            self._bytes += piece.nbytes
            if self._bytes >= self._full:
                self._flush()

    def finish(self, reading: Reading) -> None:
        """Write what is left, and how the rows were read."""
        self._flush()
        if reading != Reading():
            text = msgspec.json.encode(reading).decode()
            self._writer.add_key_value_metadata({_READING: text})

    def summary(self) -> list[dict[str, object]]:
        """List the columns as replies show them: name, type, missing rows."""
        return [
            {"name": name, "type": kind, "missing": self._missing[name]}
            for name, kind in self._types.items()
        ]

    def _flush(self) -> None:
        if self._waiting:
            group = pa.concat_tables(self._waiting)
            self._waiting, self._bytes = [], 0
            self._writer.write_table(group, row_group_size=group.num_rows)


class StoredColumn(NamedTuple):
    """A column of a canonical file."""

    name: str
    type: FeatureType
    rows: int
    arrays: Callable[[], Iterable[Any]]
    """Returns its values in order, in one or several Arrow arrays, as often as it is called."""


class CanonicalFile:
    """A canonical file, read one column of one row group at a time."""

    def __init__(self, source: Path | BinaryIO) -> None:
        # By read and not by mapping: what is mapped counts as memory of this process.
        self._file = pq.ParquetFile(
            str(source) if isinstance(source, Path) else source, pre_buffer=False
        )
        metadata = self._file.metadata
        self.rows: int = metadata.num_rows
        text = (metadata.metadata or {}).get(_READING.encode(), b"{}")
        self.reading: Reading = msgspec.json.decode(text, type=Reading)

    def __enter__(self) -> "CanonicalFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def types(self) -> dict[str, FeatureType]:
        """The types of the columns, by name, in order."""
        return {field.name: _type_of(field.type) for field in self._file.schema_arrow}

    def columns(self) -> Iterator[StoredColumn]:
        """Yield the columns in order."""
        for name, kind in self.types.items():
            yield StoredColumn(name, kind, self.rows, partial(self._arrays, name))

    def groups(self) -> Iterator[list[Any]]:
        """Yield the rows, some at a time, an Arrow array a column."""
        for index in range(self._file.num_row_groups):
            table = self._file.read_row_group(index, use_threads=False)
            yield [chunks.combine_chunks() for chunks in table.columns]

    def _arrays(self, name: str) -> Iterator[Any]:
        for index in range(self._file.num_row_groups):
            table = self._file.read_row_group(index, columns=[name], use_threads=False)
            # A name with a dot may bring others along.
            yield table.column(table.schema.get_field_index(name)).combine_chunks()


def _type_of(kind: Any) -> FeatureType:
    if pa.types.is_boolean(kind):
        return "boolean"
    return "text" if pa.types.is_string(kind) else "number"


def content_sha256(columns: Iterable[StoredColumn]) -> str:
    """Return a hash of names, types and values, in order, however they are stored."""
    digest = hashlib.sha256()
    for column in columns:
        head = json.dumps([column.name, column.type, column.rows], ensure_ascii=False)
        digest.update(head.encode("utf-8", "surrogatepass"))
        for part in _texts(column) if column.type == "text" else _numbers(column):
            digest.update(part)
    return digest.hexdigest()


def _numbers(column: StoredColumn) -> Iterator[bytes]:
    for array in column.arrays():
        if column.type == "boolean":
            array = array.cast(pa.uint8()).cast(pa.float64())
        # A NaN has many bit patterns, and all of them mean missing.
        values = array.fill_null(np.nan).to_numpy(zero_copy_only=False)
        yield np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes()


def _texts(column: StoredColumn) -> Iterator[Any]:
    """Yield which are missing, a bit a row; where each begins; and the texts."""
    bits = np.empty(0, np.bool_)
    for array in column.arrays():
        missing = pc.is_null(array).to_numpy(zero_copy_only=False)
        bits = np.concatenate((bits, missing))
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole]).tobytes()
        bits = bits[whole:]
    yield np.packbits(bits).tobytes()
    end = np.int64(0)
    yield end.tobytes()
    for array in column.arrays():
        sizes = pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False)
        ends = end + np.cumsum(sizes, dtype="<i8")
        yield ends.tobytes()
        end = ends[-1] if len(ends) else end
    for array in column.arrays():
        # A missing text has no bytes, so nothing lies between the others.
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, "<i4")[array.offset : array.offset + len(array) + 1]
        if data is not None and len(ends):
            yield memoryview(data)[ends[0] : ends[-1]]
