"""A file of rows that may be larger than memory, read part by part into its canonical form.

It is gone through twice: what a column is depends on all of its values. The result is that of
`read_csv` and `read_parquet`, which read the whole of a file into a table.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from service.common.domain import Note
from service.schema.contract import FeatureType, Written
from service.schema.file_options import FileOptions
from service.worker.data.canonical import CanonicalWriter, Reading
from service.worker.data.column_types import Wanted
from service.worker.data.selection import (
    Source,
    may_be_index,
    names_of,
    read_columns,
    wanted_of,
)

_MOST_NAMED = 4_000_000
"""Rows whose names are compared with one another, 8 bytes each."""


class Decision(Protocol):
    """What a column becomes."""

    @property
    def type(self) -> FeatureType:
        """Its type."""

    @property
    def written(self) -> Written:
        """How the texts are written that its numbers were read from."""

    @property
    def notes(self) -> Sequence[str]:
        """What was decided about it."""

    def arrow(self, array: Any) -> Any:
        """Convert a part to an Arrow array of double, bool or string."""


class PartColumn(Protocol):
    """Looks at a column part by part."""

    def look(self, array: Any) -> None:
        """Look at the next part."""

    def decide(self) -> Decision:
        """Return what the column becomes; raises ValueError with what is wrong with it."""


class RowFile(Protocol):
    """A file that is read part by part, as often as wished."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns, as in the file; known from the first part on."""

    @property
    def pandas_index(self) -> frozenset[str]:
        """The names of the columns that hold the index of a pandas frame."""

    @property
    def refusal(self) -> str:
        """How the sentence of an error begins."""

    def parts(self) -> Iterator[list[Any]]:
        """Yield the columns of the next rows; raises UnusableData or BodyTooLarge."""

    def column(self, place: int, wanted: Wanted) -> PartColumn:
        """Return what looks at a column."""

    def notes(self) -> list[Note]:
        """Return notes on the file, all of whose parts were read; raises UnusableData."""


class Placed(NamedTuple):
    """A column that is read: its place in the file, and what it becomes."""

    place: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Known:
    """The columns of a file, before they are converted."""

    columns: dict[str, Placed]
    reading: Reading

    @property
    def types(self) -> dict[str, FeatureType]:
        """The types of the columns."""
        return {name: column.decision.type for name, column in self.columns.items()}


def look(file: RowFile, options: FileOptions, target: str | None, at: str) -> Known:
    """Go through a file, and find out what its columns are; `at` is the pointer of problems.

    Raises UnusableData, InvalidRequest or BodyTooLarge.
    """
    columns: list[PartColumn] = []
    indexes: dict[int, PartColumn] = {}
    for part in file.parts():
        if not columns:
            for place, name in enumerate(file.names):
                trimmed, called = names_of(name, place)
                columns.append(file.column(place, wanted_of(str(trimmed), options, target)))
                if may_be_index(called):
                    indexes[place] = file.column(place, Wanted())
        for column, array in zip(columns, part, strict=True):
            column.look(array)
        for place, column in indexes.items():
            column.look(part[place])
    notes = file.notes()
    sources = [
        Source(
            name,
            partial(_decided, place, columns[place]),
            partial(_is_index, file, place, indexes.get(place)),
        )
        for place, name in enumerate(file.names)
    ]
    read = read_columns(
        sources, options, target, at, file.refusal, notes, pandas_index=file.pandas_index
    )
    written = {name: column.decision.written for name, column in read.columns.items()}
    reading = Reading(
        {name: how for name, how in written.items() if how},
        read.notes,
        read.missing,
        tuple(read.left),
    )
    return Known(read.columns, reading)


def store(
    file: RowFile, known: Known, path: Path, see: Callable[[str, Any], None]
) -> CanonicalWriter:
    """Go through a file again, and write its rows; `see` gets each part of each column."""
    with CanonicalWriter(path, known.types) as writer:
        for part in file.parts():
            arrays = [
                column.decision.arrow(part[column.place]) for column in known.columns.values()
            ]
            for name, array in zip(known.columns, arrays, strict=True):
                see(name, array)
            writer.write(arrays)
        writer.finish(known.reading)
    return writer


def _decided(place: int, column: PartColumn, _: Wanted) -> tuple[Placed, list[str]]:
    decision = column.decide()
    return Placed(place, decision), list(decision.notes)


def _is_index(file: RowFile, place: int, column: PartColumn | None) -> bool:
    """Return whether a column counts the rows, or names each of them by another value.

    It does the latter only where it has no name. This goes through the file once more.
    """
    if column is None:
        return False
    try:
        decision = column.decide()
    except ValueError:
        return False
    counts = decision.type == "number"
    names = None if file.names[place].strip() else _Names()
    rows, begin = 0, 0.0
    for part in file.parts():
        array = decision.arrow(part[place])
        if counts and len(array):
            values = array.to_numpy(zero_copy_only=False)
            begin = begin if rows else values[0]
            expected = begin + np.arange(rows, rows + len(values))
            counts = begin in (0.0, 1.0) and np.array_equal(values, expected)
        rows += len(array)
        if names is not None and not names.take(array, decision.type):
            names = None
        if not counts and names is None:
            return False
    return counts or (rows > 1 and names is not None and names.are_distinct())


class _Names:
    """Compares the names of rows by a hash of 64 bits each."""

    def __init__(self) -> None:
        self._hashes: list[Any] = []
        self._rows = 0

    def take(self, array: Any, kind: FeatureType) -> bool:
        """Take the next names; return False where these alone show that they are not distinct."""
        self._rows += len(array)
        if array.null_count or self._rows > _MOST_NAMED:
            return False
        if kind != "text":
            array = array.cast("float64")
        values = array.to_numpy(zero_copy_only=False)
        self._hashes.append(pd.util.hash_array(values, categorize=False))
        return len(np.unique(self._hashes[-1])) == len(array)

    def are_distinct(self) -> bool:
        """Return whether no two of all names are the same."""
        return len(np.unique(np.concatenate(self._hashes))) == self._rows
