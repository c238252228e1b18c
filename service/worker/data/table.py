"""Rows to train on, column by column: what every reader returns."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from service.common.domain import Note
from service.common.errors import BodyTooLarge, Problem, UnusableData, clip
from service.schema.contract import FeatureType, Written
from service.worker.data.canonical import (
    CanonicalFile,
    CanonicalWriter,
    Reading,
    StoredColumn,
    content_sha256,
)

BUILT_IN = ("breast_cancer", "digits", "iris", "wine")
"""The data sets that scikit-learn ships; see `built_in`."""

LONGEST_NAME = 256
MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a table may be; `bytes` is what a Parquet file says it holds decompressed."""

    rows: int = 1_000_000
    columns: int = 10_000
    cells: int = 30_000_000
    bytes: int = 512 * 1024 * 1024

    def check(self, rows: int, columns: int) -> None:
        """Raise BodyTooLarge for a table that is larger."""
        if columns > self.columns:
            raise BodyTooLarge("The number of columns", self.columns, "columns")
        if rows > self.rows:
            raise BodyTooLarge("The number of rows", self.rows, "rows")
        if rows * columns > self.cells:
            raise BodyTooLarge("The number of rows times columns", self.cells, "cells")


LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: numbers and booleans as float64 with NaN for missing, text as str or None."""

    type: FeatureType
    values: NDArray[Any]
    written: Written = ""
    """How the texts are written that its numbers were read from; empty if they were none."""

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Mark each row without a value."""
        if self.type == "text":
            return np.asarray(self.values == np.array(None), dtype=np.bool_)
        return np.asarray(np.isnan(self.values), dtype=np.bool_)

    def arrow(self) -> Any:
        """Return the values as an Arrow array of double, bool or string."""
        if self.type == "boolean":
            return pa.array(self.values != 0.0, mask=self.missing)
        if self.type == "number":
            return pa.array(self.values, mask=self.missing)
        return pa.array(self.values, type=pa.string())


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of one length, by name, in order."""

    columns: dict[str, Column]
    notes: tuple[Note, ...] = ()
    left_out: Mapping[str, Column] = field(default_factory=dict)
    """The columns of the file that are no part of the table; not kept in its Parquet form."""
    missing_texts: tuple[str, ...] | None = None
    """The texts that its owner said mean a missing value."""
    excluded: tuple[str, ...] = ()
    """The names of the columns that were left out."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())).values) if self.columns else 0

    def missing(self, name: str) -> int:
        """Count the rows without a value in the column."""
        return int(np.count_nonzero(self.columns[name].missing))

    def at(self, places: NDArray[np.int64]) -> "Table":
        """Return a table of the rows at these places."""
        columns = {
            name: replace(column, values=column.values[places])
            for name, column in self.columns.items()
        }
        return replace(self, columns=columns)

    def to_frame(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the columns as scikit-learn is fitted on them: float64, and text as object.

        Missing text is NaN: SimpleImputer takes None and NaN for two different things.
        """
        data: dict[str, Any] = {}
        for name in names:
            column = self.columns[name]
            values = column.values
            if column.type == "text":
                gone = column.missing
                if gone.any():
                    values = values.copy()
                    values[gone] = np.nan
            data[name] = pd.Series(values, dtype=values.dtype, copy=False)
        return pd.DataFrame(data, columns=pd.Index(list(names), dtype=object), copy=False)

    def to_parquet(self) -> bytes:
        """Write the canonical file: double, bool and string columns, the same bytes each time."""
        sink = io.BytesIO()
        written = {name: column.written for name, column in self.columns.items()}
        with CanonicalWriter(sink, {n: column.type for n, column in self.columns.items()}) as file:
            file.write([column.arrow() for column in self.columns.values()])
            file.finish(
                Reading(
                    {name: how for name, how in written.items() if how},
                    self.notes,
                    self.missing_texts,
                    self.excluded,
                )
            )
        return sink.getvalue()

    @classmethod
    def from_parquet(cls, source: bytes | Path) -> "Table":
        """Read what `to_parquet` wrote; `read_parquet` reads any other file.

        No more is held besides the table than a column of one row group.
        """
        with CanonicalFile(source if isinstance(source, Path) else io.BytesIO(source)) as file:
            reading = file.reading
            columns = {
                column.name: _read(column, reading.written.get(column.name, ""))
                for column in file.columns()
            }
        return cls(columns, reading.notes, missing_texts=reading.missing, excluded=reading.excluded)

    def sha256(self) -> str:
        """Return a hash of names, types and values, in order, whatever the file's format was."""
        return content_sha256(
            StoredColumn(name, column.type, len(column.values), partial(_one_array, column))
            for name, column in self.columns.items()
        )

    def summary(self) -> list[dict[str, object]]:
        """List the columns as replies show them: name, type, missing rows."""
        return [
            {"name": name, "type": column.type, "missing": self.missing(name)}
            for name, column in self.columns.items()
        ]


def _one_array(column: Column) -> list[Any]:
    return [column.arrow()]


def _read(column: StoredColumn, written: Written) -> Column:
    values = np.empty(column.rows, object if column.type == "text" else np.float64)
    end = 0
    for array in column.arrays():
        begin, end = end, end + len(array)
        if column.type == "text":
            values[begin:end] = as_objects(array)
        else:
            doubles = array.cast(pa.uint8()) if column.type == "boolean" else array
            values[begin:end] = doubles.to_numpy(zero_copy_only=False)
    return Column(column.type, values, written)


def as_floats(array: Any) -> NDArray[np.float64]:
    """Return an Arrow array of doubles as float64, null as NaN, in memory of its own."""
    values: NDArray[np.float64] = array.to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def as_objects(array: Any) -> NDArray[Any]:
    """Return an Arrow array of texts as objects, equal ones as one object, None for missing."""
    coded = array.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    texts: NDArray[Any] = np.array([*coded.dictionary.to_pylist(), None], dtype=object)[codes]
    return texts


def refuse(sentence: str, at: str) -> UnusableData:
    """Return the error of a file that cannot be read, whatever its rows hold."""
    return UnusableData(sentence, [Problem(at, sentence[0].lower() + sentence[1:].rstrip("."))])


def check_names(names: Iterable[tuple[int, object]], at: str) -> None:
    """Raise UnusableData where a column has no name, an ill-formed one or another's.

    Each name comes with the place of its column. `at` is the pointer of the list of names; where it
    ends in "/", the place is added.
    """
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for index, name in names:
        pointer = f"{at}{index}" if at.endswith("/") else at
        if not isinstance(name, str) or not name.strip():
            message = (
                f"column {index + 1} has no name; name it, or leave it out by "
                f'"exclude": ["{nameless(index)}"]'
            )
            problems.append(Problem(pointer, message))
        elif len(name) > LONGEST_NAME:
            message = f"the name of column {index + 1} has more than {LONGEST_NAME} characters"
            problems.append(Problem(pointer, message))
        elif "\0" in name:
            problems.append(Problem(pointer, f"the name of column {index + 1} holds a NUL"))
        elif name in first:
            message = f"columns {first[name] + 1} and {index + 1} are both called {clip(name)!r}"
            problems.append(Problem(pointer, message))
        else:
            first[name] = index
    if problems:
        raise UnusableData(
            "Every column needs a name of its own: " + problems[0].message + ".",
            problems[:MOST_PROBLEMS],
        )


def nameless(index: int) -> str:
    """Return what a column without a name is called, by its place: as pandas calls it."""
    return f"Unnamed: {index}"


def built_in(name: str) -> tuple[Table, str]:
    """Return a data set of `BUILT_IN` and the name of its target column."""
    from sklearn import datasets

    loaded = getattr(datasets, f"load_{name}")()
    columns = {
        str(feature): Column("number", np.ascontiguousarray(loaded.data[:, index], np.float64))
        for index, feature in enumerate(loaded.feature_names)
    }
    if name == "digits":
        target = Column("number", loaded.target.astype(np.float64))
    else:
        labels = np.array([str(label) for label in loaded.target_names], dtype=object)
        target = Column("text", labels[loaded.target])
    return Table({**columns, "target": target}), "target"
