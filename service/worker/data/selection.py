"""Which columns of a file are read, and as what: names, index columns, what the owner says."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from service.common.did_you_mean import did_you_mean
from service.common.domain import Note
from service.common.errors import InvalidRequest, Problem, UnusableData, escape, quoted
from service.schema.contract import FeatureType
from service.schema.file_options import FileOptions
from service.worker.data.column_types import Typed, Wanted, as_type, text_of, without
from service.worker.data.table import MOST_PROBLEMS, Column, Table, check_names, nameless

_MOST_NOTES = 20


@dataclass(frozen=True, slots=True)
class Source:
    """A column of a file, before it is read."""

    name: object
    read: Callable[[Wanted], Typed]
    """Return the column, and notes; raises ValueError with what is wrong with it."""


class ColumnError(ValueError):
    """What is wrong with a column, at a place of its own in the body."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


def build_table(
    sources: Sequence[Source],
    options: FileOptions,
    target: str | None,
    at: str,
    refusal: str,
    notes: Sequence[Note] = (),
    pandas_index: Collection[str] = (),
    names_at: str | None = None,
) -> Table:
    """Read the columns that are wanted; `refusal` is how the sentence of an error begins.

    Raises UnusableData with what is wrong with names and values, InvalidRequest with what is wrong
    with the options.
    """
    kept, left, told = select(sources, options.exclude, target, pandas_index, at, names_at)
    _check_options(options, {**kept, **left})
    if not kept:
        message = "every column is left out"
        raise UnusableData(f"{refusal}: {message}.", [Problem(at, message)])
    columns: dict[str, Column] = {}
    all_notes = [*notes, *told]
    problems: list[Problem] = []
    for name, source in kept.items():
        wanted = Wanted(options.types.get(name), options.missing, name == target)
        try:
            columns[name], messages = source.read(wanted)
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
    return Table(columns, limited(all_notes), _left_out(left, options), missing, tuple(left))


def select(
    sources: Sequence[Source],
    exclude: Collection[str],
    target: str | None,
    pandas_index: Collection[str],
    at: str,
    names_at: str | None = None,
) -> tuple[dict[str, Source], dict[str, Source], list[Note]]:
    """Return the columns that are read and those that are left out, by their trimmed names.

    Raises UnusableData where a column has no name of its own.
    """
    kept: list[tuple[int, object]] = []
    left: dict[str, Source] = {}
    notes: list[Note] = []
    for place, source in enumerate(sources):
        name = source.name.strip() if isinstance(source.name, str) else source.name
        called = name if isinstance(name, str) and name else nameless(place)
        if called in exclude:
            left[called] = source
        elif name != target and (name in pandas_index or _is_index(called, source)):
            left[called] = source
            notes.append(Note(called, "is the index of the rows, and is left out"))
        else:
            kept.append((place, name))
    check_names(kept, at if names_at is None else names_at)
    return {str(name): sources[place] for place, name in kept}, left, notes


def _is_index(name: str, source: Source) -> bool:
    """Return whether the first column counts the rows, or names each of them by another value.

    It does the latter only where it has no name: as R writes the names of rows.
    """
    if name != nameless(0):
        return False
    try:
        column, _ = source.read(Wanted())
    except ValueError:
        return False
    if column.type == "number" and is_counting(column):
        return True
    values = column.values[~column.missing]
    has_no_name = isinstance(source.name, str) and not source.name.strip()
    return has_no_name and 1 < len(column.values) == len(np.unique(values.astype(str)))


def is_counting(column: Column) -> bool:
    """Return whether a column of numbers counts up from 0 or 1."""
    values = column.values
    return bool(
        len(values)
        and values[0] in (0.0, 1.0)
        and np.array_equal(values, values[0] + np.arange(len(values)))
    )


def _check_options(options: FileOptions, names: Collection[str]) -> None:
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


def _left_out(left: dict[str, Source], options: FileOptions) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for name, source in left.items():
        try:
            columns[name], _ = source.read(Wanted(missing=options.missing))
        except ValueError:
            # It cannot be read, and nobody wants it.
            columns[name] = Column("text", np.array([], dtype=object))
    return columns


def typed(column: Column, wanted: Wanted) -> Typed:
    """Return a column, whose file knows its type, as its owner wants it.

    Raises ValueError for a text that is not what it is said to be.
    """
    if column.type == "text":
        array = without(pa.array(column.values, pa.string()), wanted.missing)
        if wanted.type in ("number", "boolean"):
            return as_type(array, wanted.type, comma_is_decimal=False)
        if wanted.missing:
            column = Column("text", np.array(array.to_pylist(), dtype=object))
        return column, []
    if wanted.type is None or wanted.type == column.type:
        return column, []
    return _converted(column, wanted.type), []


def _converted(column: Column, type_: FeatureType) -> Column:
    gone = column.missing
    if type_ == "number":
        return Column("number", column.values)
    if type_ == "boolean":
        wrong = ~gone & ~np.isin(column.values, (0.0, 1.0))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f'row {row + 1:,} holds {column.values[row]:g}, and "types" says that it is a '
                "boolean: true or false"
            )
        return Column("boolean", column.values)
    texts = [
        None if missing else text_of(value, column.type)
        for value, missing in zip(column.values.tolist(), gone.tolist(), strict=True)
    ]
    return Column("text", np.array(texts, dtype=object))


def retyped(table: Table, options: FileOptions, target: str | None, at: str) -> Table:
    """Apply what the owner says to a table that was read before."""
    sources = [Source(name, partial(typed, column)) for name, column in table.columns.items()]
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
