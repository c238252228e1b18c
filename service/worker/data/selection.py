"""Which columns of a file are read, and as what: names, index columns, what the owner says."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.common.did_you_mean import did_you_mean
from service.common.domain import Note
from service.common.errors import InvalidRequest, Problem, UnusableData, escape, quoted
from service.schema.contract import FeatureType
from service.schema.file_options import FileOptions
from service.worker.data.column_types import Typed, Wanted, text_of, without
from service.worker.data.table import MOST_PROBLEMS, Column, Table, check_names, nameless
from service.worker.data.text_column import read_texts

_MOST_NOTES = 20


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Source(Generic[R]):
    """A column of a file, before it is read as what is wanted: a `Column`, or what it will be."""

    name: object
    read: Callable[[Wanted], tuple[R, list[str]]]
    """Return the column, and notes; raises ValueError with what is wrong with it."""
    is_index: Callable[[], bool]
    """Return whether it is the index of the rows, if it is the first and its name allows that."""


@dataclass(frozen=True, slots=True)
class Selected(Generic[R]):
    """The columns of a file that are read, and those that are left out."""

    columns: dict[str, R]
    notes: tuple[Note, ...]
    left: dict[str, Source[R]]
    missing: tuple[str, ...] | None
    """The texts that the file's owner said mean a missing value."""


def column_source(name: object, read: Callable[[Wanted], Typed]) -> Source[Column]:
    """Return a column that is read as a whole."""
    return Source(name, read, partial(_is_index, name, read))


class ColumnError(ValueError):
    """What is wrong with a column, at a place of its own in the body."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


def build_table(
    sources: Sequence[Source[Column]],
    options: FileOptions,
    target: str | None,
    at: str,
    refusal: str,
    notes: Sequence[Note] = (),
    pandas_index: Collection[str] = (),
    names_at: str | None = None,
) -> Table:
    """Make a table of the columns that are wanted; parameters and errors as of `read_columns`."""
    read = read_columns(sources, options, target, at, refusal, notes, pandas_index, names_at)
    left_out = _left_out(read.left, options)
    return Table(read.columns, read.notes, left_out, read.missing, tuple(read.left))


def read_columns(
    sources: Sequence[Source[R]],
    options: FileOptions,
    target: str | None,
    at: str,
    refusal: str,
    notes: Sequence[Note] = (),
    pandas_index: Collection[str] = (),
    names_at: str | None = None,
) -> Selected[R]:
    """Read the columns that are wanted; `refusal` is how the sentence of an error begins.

    Raises UnusableData with what is wrong with names and values, InvalidRequest with what is wrong
    with the options.
    """
    kept, left, told = select(sources, options.exclude, target, pandas_index, at, names_at)
    check_options(options, {**kept, **left})
    if not kept:
        message = "every column is left out"
        raise UnusableData(f"{refusal}: {message}.", [Problem(at, message)])
    columns: dict[str, R] = {}
    all_notes = [*notes, *told]
    problems: list[Problem] = []
    for name, source in kept.items():
        try:
            columns[name], messages = source.read(wanted_of(name, options, target))
        except ColumnError as error:
            problems.append(Problem(error.pointer, str(error)))
        except ValueError as error:
            problems.append(Problem(at, f"column {quoted(name)}: {error}"))
        else:
            all_notes += [Note(name, message) for message in messages]
    if problems:
        first = problems[0]
        where = "" if first.pointer == at else f"{first.pointer} "
        raise UnusableData(f"{refusal}: {where}{first.message}.", problems[:MOST_PROBLEMS])
    missing = None if options.missing is None else tuple(options.missing)
    return Selected(columns, limited(all_notes), left, missing)


def wanted_of(name: str, options: FileOptions, target: str | None) -> Wanted:
    """Return what the column of this name is to be read as."""
    return Wanted(options.types.get(name), options.missing, name == target)


def select(
    sources: Sequence[Source[R]],
    exclude: Collection[str],
    target: str | None,
    pandas_index: Collection[str],
    at: str,
    names_at: str | None = None,
) -> tuple[dict[str, Source[R]], dict[str, Source[R]], list[Note]]:
    """Return the columns that are read and those that are left out, by their trimmed names.

    Raises UnusableData where a column has no name of its own.
    """
    kept: list[tuple[int, object]] = []
    left: dict[str, Source[R]] = {}
    notes: list[Note] = []
    for place, source in enumerate(sources):
        name, called = names_of(source.name, place)
        if called in exclude:
            left[called] = source
        elif name != target and (
            name in pandas_index or (may_be_index(called) and source.is_index())
        ):
            left[called] = source
            notes.append(Note(called, "is the index of the rows, and is left out"))
        else:
            kept.append((place, name))
    check_names(kept, at if names_at is None else names_at)
    return {str(name): sources[place] for place, name in kept}, left, notes


def names_of(name: object, place: int) -> tuple[object, str]:
    """Return a column's trimmed name, and what it is called: by its place if it has no name."""
    name = name.strip() if isinstance(name, str) else name
    return name, name if isinstance(name, str) and name else nameless(place)


def may_be_index(called: str) -> bool:
    """Return whether the name is that of the index of a frame."""
    return called == nameless(0)


def _is_index(name: object, read: Callable[[Wanted], Typed]) -> bool:
    """Return whether the first column counts the rows, or names each of them by another value.

    It does the latter only where it has no name: as R writes the names of rows.
    """
    try:
        column, _ = read(Wanted())
    except ValueError:
        return False
    if column.type == "number" and is_counting(column.values):
        return True
    values = column.values[~column.missing]
    has_no_name = isinstance(name, str) and not name.strip()
    return has_no_name and 1 < len(column.values) == len(np.unique(values.astype(str)))


def is_counting(values: NDArray[np.float64]) -> bool:
    """Return whether the numbers count up from 0 or 1."""
    return bool(
        len(values)
        and values[0] in (0.0, 1.0)
        and np.array_equal(values, values[0] + np.arange(len(values)))
    )


def check_options(options: FileOptions, names: Collection[str]) -> None:
    """Raise InvalidRequest where the options name other columns than there are."""
    problems = [
        Problem("/exclude", f"{quoted(name)} is not a column{did_you_mean(name, list(names))}")
        for name in options.exclude
        if name not in names
    ] + [
        Problem(f"/types/{escape(name)}", f"is not a column{did_you_mean(name, list(names))}")
        for name in options.types
        if name not in names
    ]
    if problems:
        first = problems[0]
        detail = f"{first.pointer.split('/')[1]}: {first.message}."
        raise InvalidRequest(detail, problems[:MOST_PROBLEMS])


def _left_out(left: dict[str, Source[Column]], options: FileOptions) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for name, source in left.items():
        try:
            columns[name], _ = source.read(Wanted(missing=options.missing))
        except ValueError:
            # It cannot be read, and nobody wants it.
            columns[name] = Column("text", np.array([], dtype=object))
    return columns


def typed(column: Column, wanted: Wanted, first_row: int = 0) -> Typed:
    """Return a column, whose file knows its type, as its owner wants it.

    It may be the part that begins with `first_row`, unless texts become numbers or booleans.
    Raises ValueError for a value that is not what it is said to be.
    """
    if column.type == "text":
        array = without(pa.array(column.values, pa.string()), wanted.missing)
        if wanted.type in ("number", "boolean"):
            return read_texts(array, Wanted(wanted.type), comma_is_decimal=False)
        if wanted.missing:
            column = Column("text", np.array(array.to_pylist(), dtype=object))
        return column, []
    if wanted.type is None or wanted.type == column.type:
        return column, []
    return _converted(column, wanted.type, first_row), []


def _converted(column: Column, type_: FeatureType, first_row: int) -> Column:
    gone = column.missing
    if type_ == "number":
        return Column("number", column.values)
    if type_ == "boolean":
        wrong = ~gone & ~np.isin(column.values, (0.0, 1.0))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"row {first_row + row + 1:,} holds {column.values[row]:g}, and "
                '"types" says that it is a boolean: true or false'
            )
        return Column("boolean", column.values)
    texts = [
        None if missing else text_of(value, column.type)
        for value, missing in zip(column.values.tolist(), gone.tolist(), strict=True)
    ]
    return Column("text", np.array(texts, dtype=object))


def retyped(table: Table, options: FileOptions, target: str | None, at: str) -> Table:
    """Apply what the owner says to a table that was read before."""
    sources = [
        column_source(name, partial(typed, column)) for name, column in table.columns.items()
    ]
    given = options
    if options.missing is None and table.missing_texts is not None:
        given = options.model_copy(update={"missing": list(table.missing_texts)})
    refusal = "The data set cannot be used"
    again = build_table(sources, given, target, at, refusal, table.notes)
    return replace(again, excluded=(*table.excluded, *again.excluded))


def limited(notes: Sequence[Note]) -> tuple[Note, ...]:
    """Return at most 20 notes, the last of which counts the others."""
    distinct = list(dict.fromkeys(notes))
    if len(distinct) <= _MOST_NOTES:
        return tuple(distinct)
    more = len(distinct) - _MOST_NOTES + 1
    return (*distinct[: _MOST_NOTES - 1], Note(None, f"{more:,} more such notes are left out."))
