"""Rows in parsed JSON: `{"columns", "rows"}` or `{"records"}`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from service.common.errors import Problem, UnusableData, escape
from service.schema.file_options import NO_OPTIONS, FileOptions
from service.worker.data.column_types import Typed, Wanted
from service.worker.data.selection import ColumnError, build_table, column_source, typed
from service.worker.data.table import LIMITS, MOST_PROBLEMS, Column, Limits, Table

_KINDS: dict[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    type(None): "null",
    list: "an array",
    dict: "an object",
}
_SHAPE = 'send {"columns": [...], "rows": [[...]]} or {"records": [{...}]}'
_EXACT = 2**53


def read_inline(
    value: object,
    limits: Limits = LIMITS,
    at: str = "",
    options: FileOptions = NO_OPTIONS,
    target: str | None = None,
) -> Table:
    """Read rows given as JSON; `at` is the pointer of `value` itself.

    Null is missing, and a column has one kind of value: numbers, booleans or texts. Raises
    UnusableData, which lists what is wrong (at most 20), or BodyTooLarge.
    """
    if not isinstance(value, Mapping):
        raise _refuse(f"The data set is {_kind(value)}; {_SHAPE}.", [Problem(at, _SHAPE)])
    keys = set(value)
    if keys == {"columns", "rows"}:
        names, columns, place = _from_rows(value["columns"], value["rows"], limits, at)
    elif keys == {"records"}:
        names, columns, place = _from_records(value["records"], limits, at)
    else:
        odd = sorted(str(key) for key in keys - {"columns", "rows", "records"})
        problems = [Problem(f"{at}/{escape(key)}", "is not part of a data set") for key in odd]
        raise _refuse(
            f"The data set has the wrong keys; {_SHAPE}.", problems or [Problem(at, _SHAPE)]
        )
    sources = [
        column_source(name, partial(_read, values, partial(place, name=name)))
        for name, values in zip(names, columns, strict=True)
    ]
    names_at = f"{at}/columns/" if "columns" in keys else f"{at}/records/0"
    refusal = "A column holds one kind of value in every row"
    return build_table(sources, options, target, at, refusal, names_at=names_at)


def _read(values: Sequence[Any], place: Callable[[int], str], wanted: Wanted) -> Typed:
    try:
        column = _column(values)
    except _Wrong as error:
        raise ColumnError(place(error.row), error.message) from error
    return typed(column, wanted)


class _Wrong(ValueError):
    """A value of another type than its column."""

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row, self.message = row, message


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "no JSON value")


def _refuse(detail: str, problems: Sequence[Problem]) -> UnusableData:
    return UnusableData(detail, problems[:MOST_PROBLEMS])


def _array(value: object, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise _refuse(f"{at} must be an array.", [Problem(at, f"is {_kind(value)}, not an array")])
    return value


def _from_rows(columns: object, rows: object, limits: Limits, at: str) -> tuple[Any, ...]:
    names = _array(columns, f"{at}/columns")
    limits.check(0, len(names))
    data = _array(rows, f"{at}/rows")
    limits.check(len(data), len(names))
    if not data or not names:
        raise _refuse("The data set has no rows.", [Problem(f"{at}/rows", "is empty")])
    problems: list[Problem] = []
    for index, row in enumerate(data):
        if not isinstance(row, list):
            problems.append(Problem(f"{at}/rows/{index}", f"is {_kind(row)}, not an array"))
        elif len(row) != len(names):
            message = f"has {len(row):,} values, and there are {len(names):,} columns"
            problems.append(Problem(f"{at}/rows/{index}", message))
        if len(problems) == MOST_PROBLEMS:
            break
    if problems:
        raise _refuse(
            f"Every row has a value for every column: {problems[0].pointer} {problems[0].message}.",
            problems,
        )
    places = {name: index for index, name in enumerate(names) if isinstance(name, str)}

    def pointer(row: int, name: str) -> str:
        return f"{at}/rows/{row}/{places[name]}"

    return names, list(zip(*data, strict=True)), pointer


def _from_records(records: object, limits: Limits, at: str) -> tuple[Any, ...]:
    data = _array(records, f"{at}/records")
    if not data:
        raise _refuse("The data set has no rows.", [Problem(f"{at}/records", "is empty")])
    if not isinstance(data[0], dict) or not data[0]:
        raise _refuse(
            "Every record is an object of columns and values.",
            [Problem(f"{at}/records/0", "is not an object with at least one key")],
        )
    names = list(data[0])
    limits.check(len(data), len(names))
    keys = data[0].keys()
    problems: list[Problem] = []
    for index, record in enumerate(data):
        here = f"{at}/records/{index}"
        if not isinstance(record, dict):
            problems.append(Problem(here, f"is {_kind(record)}, not an object"))
        elif record.keys() != keys:
            gone = [name for name in names if name not in record]
            odd = [name for name in record if name not in keys]
            problems += [Problem(f"{here}/{escape(n)}", "is missing; write null") for n in gone]
            problems += [Problem(f"{here}/{escape(n)}", "is not in the first record") for n in odd]
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise _refuse(
            f"Every record has the keys of the first: {problems[0].pointer} {problems[0].message}.",
            problems,
        )

    def pointer(row: int, name: str) -> str:
        return f"{at}/records/{row}/{escape(name)}"

    return names, [[record[name] for record in data] for name in names], pointer


def _column(values: Sequence[Any]) -> Column:
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {int, float}:
        return Column("number", _numbers(values))
    if kinds == {bool}:
        return Column("boolean", np.array(values, dtype=object).astype(np.float64))
    if kinds == {str}:
        for row, value in enumerate(values):
            if value is not None and "\0" in value:
                raise _Wrong(row, "holds a NUL character")
        texts = np.empty(len(values), dtype=object)
        texts[:] = values
        return Column("text", texts)
    first = next(value for value in values if value is not None)
    for row, value in enumerate(values):
        if isinstance(value, list | dict):
            raise _Wrong(row, f"is {_kind(value)}; send a number, a text, a boolean or null")
        if value is not None and _kind(value) != _kind(first):
            raise _Wrong(row, f"is {_kind(value)}, and the column began with {_kind(first)}")
    raise _Wrong(0, f"is {_kind(first)}")


def _numbers(values: Sequence[Any]) -> Any:
    try:
        numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    except OverflowError:
        numbers = np.array([_as_float(v) for v in values])
    large = ~(np.abs(numbers) < _EXACT)
    for row in np.flatnonzero(large).tolist():
        value = values[row]
        if value is None:
            continue
        if not np.isfinite(numbers[row]):
            raise _Wrong(row, "is not a finite number")
        if isinstance(value, int) and int(numbers[row]) != value:
            raise _Wrong(row, "is an integer beyond 2^53, which would lose digits")
    return numbers


def _as_float(value: float | None) -> float:
    try:
        return np.nan if value is None else float(value)
    except OverflowError:
        return np.inf
