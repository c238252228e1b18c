"""CSV files, read into tables: every field arrives as text, and the whole column decides its type.

A column is of numbers, or of `true` and `false` in any case, or else of text. An empty field is
missing. The separator is the comma; a header without one and with semicolons or tabs alone is taken
to be separated by those. Names, numbers and booleans may stand between spaces; text is kept as it
is.
"""

import csv
import io
import itertools
import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from service.common.errors import Problem, UnsupportedMediaType, UnusableData, clip
from service.worker.data.table import (
    LIMITS,
    MOST_PROBLEMS,
    Column,
    Limits,
    Table,
    as_floats,
    check_names,
)

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_INTEGER = r"^\s*[+-]?\d+\s*$"
_NOT_FINITE = r"(?i)^\s*[+-]?(nan|inf|infinity)\s*$"
_BOOLEAN = r"(?i)^\s*(true|false)\s*$"
_DECIMAL_COMMA = r"^\s*[+-]?\d+,\d+\s*$"
_EXACT = 2.0**53

_KINDS = {b"PK\x03\x04": "A zip or Excel file", b"\x1f\x8b": "A gzip file", b"BZh": "A bzip2 file"}


def read_csv(data: bytes, limits: Limits = LIMITS, at: str = "") -> Table:
    """Read a CSV file with a header row; `at` is the pointer that problems get.

    Raises UnusableData, BodyTooLarge or, for what is not text, UnsupportedMediaType.
    """
    fields, separator = _read_fields(data, limits, at)
    problems: list[Problem] = []
    columns: dict[str, Column] = {}
    for name, array in fields.items():
        try:
            columns[name] = _column(array, separator)
        except ValueError as error:
            problems.append(Problem(at, f"column {clip(name)!r}: {error}"))
    if problems:
        detail = f"The CSV cannot be read: {problems[0].message}."
        raise UnusableData(detail, problems[:MOST_PROBLEMS])
    return Table(columns)


def read_fields(data: bytes, limits: Limits = LIMITS, at: str = "") -> dict[str, Any]:
    """Read the same file into an Arrow array of strings for each column, null where it is empty.

    Raises as `read_csv` does.
    """
    return _read_fields(data, limits, at)[0]


def read_numbers_at_once(data: bytes, numbers: Collection[str]) -> dict[str, Any] | None:
    """Read a plain file of numbers in a tenth of the time: `numbers` straight into doubles.

    The other columns are as `read_fields` gives them. None where a quote, a field that is not a
    plain number or whatever else needs a closer look: that says nothing about the file.
    """
    line = data[: 1 << 20].split(b"\n", 1)[0]
    quoted = data.find(b'"', len(line)) >= 0 or line.count(b'"') % 2
    if quoted or b"\0" in data or not line.strip() or data.startswith(b"\xef\xbb\xbf"):
        return None
    try:
        header = [name.strip() for name in next(csv.reader([line.decode()]))]
        if len(set(header)) < len(header):
            return None
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            pa_csv.ReadOptions(column_names=header, skip_rows=1),
            pa_csv.ParseOptions(),
            pa_csv.ConvertOptions(
                null_values=[""],
                strings_can_be_null=True,
                column_types={
                    name: pa.float64() if name in numbers else pa.string() for name in header
                },
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error):
        return None
    columns = {name: table[name].combine_chunks() for name in header}
    for name in numbers:
        array = columns.get(name)
        if array is not None and not pc.all(pc.is_finite(array), min_count=0).as_py():
            return None
    return columns


def _read_fields(data: bytes, limits: Limits, at: str) -> tuple[dict[str, Any], str]:
    for magic, kind in _KINDS.items():
        if data.startswith(magic):
            raise UnsupportedMediaType(kind, ["CSV in UTF-8", "Parquet"])
    data = data.removeprefix(b"\xef\xbb\xbf")
    _check_text(data, at)
    width, separator = _header(data, at)
    limits.check(1, width)
    arrays = _parse(data, separator, width, at)
    rows = len(arrays[0]) - 1
    limits.check(rows, width)
    header = [array[0].as_py().strip() for array in arrays]
    check_names(header, at)
    if not rows:
        raise _refuse("The CSV has a header and no rows.", at)
    none = pa.scalar(None, pa.string())
    fields = {
        name: pc.if_else(pc.equal(array[1:], ""), none, array[1:])
        for name, array in zip(header, arrays, strict=True)
    }
    return fields, separator


def _refuse(sentence: str, at: str) -> UnusableData:
    return UnusableData(sentence, [Problem(at, sentence[0].lower() + sentence[1:].rstrip("."))])


def _check_text(data: bytes, at: str) -> None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refuse("The CSV is in UTF-16; save it as UTF-8.", at)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\r|\n", data[: error.start])) + 1
        raise _refuse(
            f"The CSV is not in UTF-8 (byte 0x{data[error.start]:02x} in line {line}); it looks "
            "like Latin-1 or Windows-1252: save it as UTF-8.",
            at,
        ) from error
    if b"\0" in data:
        raise _refuse("The CSV holds NUL characters; it is not a text file.", at)
    if not data.strip():
        raise _refuse("The CSV is empty; it needs a header row, and rows.", at)


def _first_record(data: bytes, separator: str) -> list[str]:
    head = io.StringIO(data[: 1 << 20].decode("utf-8", "ignore"), newline=None)
    lines = itertools.dropwhile(lambda line: line == "\n", head)
    return next(csv.reader(lines, delimiter=separator))


def _header(data: bytes, at: str) -> tuple[int, str]:
    """Return the number of columns, and the separator that the header shows."""
    try:
        first = _first_record(data, ",")
        if len(first) == 1:
            found = [s for s in (";", "\t") if len(_first_record(data, s)) > 1]
            if len(found) == 2:
                raise _refuse("The header row holds semicolons and tabs; separate by commas.", at)
            if found:
                return len(_first_record(data, found[0])), found[0]
    except (csv.Error, StopIteration) as error:
        raise _refuse("The header row of the CSV cannot be read.", at) from error
    return len(first), ","


def _parse(data: bytes, separator: str, width: int, at: str) -> list[Any]:
    """Return every field of every record, the header too, as one array of strings a column."""
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip" if len(ragged) < MOST_PROBLEMS else "error"

    try:
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            pa_csv.ReadOptions(
                # In one block, since a record that is longer than a block is an error.
                block_size=len(data) + 1,
                use_threads=False,
                autogenerate_column_names=True,
            ),
            pa_csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=note
            ),
            pa_csv.ConvertOptions(
                check_utf8=False,
                strings_can_be_null=False,
                column_types={f"f{index}": pa.string() for index in range(width)},
            ),
        )
    except pa.ArrowInvalid as error:
        if not ragged:
            raise _refuse(
                "The CSV cannot be read: its quotes or its rows are broken.", at
            ) from error
    if ragged:
        lines = _Lines(data)
        problems = [
            Problem(
                at,
                f"{lines.line_of(row.number)} has {row.actual_columns:,} fields; the header has "
                f"{row.expected_columns:,}",
            )
            for row in ragged
        ]
        raise UnusableData(f"The CSV cannot be read: {problems[0].message}.", problems)
    columns = [chunks.combine_chunks() for chunks in table.columns]
    if len(columns) != width:
        raise _refuse("The header row of the CSV cannot be read.", at)
    last = columns[-1][-1].as_py()
    if data.count(b'"') % 2 and ("\n" in last or "\r" in last):
        raise _refuse("The CSV cannot be read: a quoted field is never closed.", at)
    return columns


class _Lines:
    """Finds the line of a record; its number instead, where quoted fields may hold line breaks."""

    def __init__(self, data: bytes) -> None:
        self.starts = (
            None
            if b'"' in data
            else [number for number, line in enumerate(data.splitlines(), 1) if line]
        )

    def line_of(self, record: int) -> str:
        if self.starts is None:
            return f"record {record:,} (the header is the first)"
        return f"line {self.starts[record - 1]:,}"


def _column(array: Any, separator: str) -> Column:
    """Decide the type of a column of strings; raises ValueError with what is wrong."""
    try:
        numbers = array.cast(pa.float64())
    except pa.ArrowInvalid:
        return _mixed_column(array, separator)
    values = as_floats(numbers)
    if np.count_nonzero(np.isnan(values)) > array.null_count:
        return _mixed_column(array, separator)
    if (np.abs(values) >= _EXACT).any():
        _check_numbers(array, values)
    return Column("number", values)


def _mixed_column(array: Any, separator: str) -> Column:
    """Do the same for a column that is not all numbers, by its distinct values."""
    coded = array.dictionary_encode()
    distinct = coded.dictionary
    blank = pc.match_substring_regex(distinct, r"^\s*$")
    number = pc.match_substring_regex(distinct, _NUMBER)
    known = pc.or_(blank, pc.or_(number, pc.match_substring_regex(distinct, _NOT_FINITE)))
    boolean = pc.or_(blank, pc.match_substring_regex(distinct, _BOOLEAN))
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    texts = np.array([*distinct.to_pylist(), None], dtype=object)
    if pc.all(known).as_py() and pc.any(number).as_py():
        floats = [np.nan if not text.strip() else float(text) for text in texts[:-1]]
        values = np.array([*floats, np.nan])[codes]
        _check_numbers(array, values)
        return Column("number", values)
    if pc.all(blank).as_py():
        return Column("number", np.full(len(array), np.nan))
    if pc.all(boolean).as_py():
        truth = {"true": 1.0, "false": 0.0, "": np.nan}
        flags = [truth[text.strip().lower()] for text in texts[:-1]]
        return Column("boolean", np.array([*flags, np.nan])[codes])
    comma = pc.match_substring_regex(distinct, _DECIMAL_COMMA)
    if separator != "," and pc.any(comma).as_py() and pc.all(pc.or_(comma, known)).as_py():
        raise ValueError("write decimals with a point, as in 1.5, not with a comma")
    return Column("text", texts[codes])


def _check_numbers(array: Any, values: NDArray[np.float64]) -> None:
    """Refuse what is not a finite number, and integers that float64 cannot hold."""
    missing = pc.fill_null(pc.match_substring_regex(array, r"^\s*$"), True)
    finite = np.isfinite(values) | missing.to_numpy(zero_copy_only=False)
    if not finite.all():
        row = int(np.argmin(finite))
        text = array[row].as_py()
        if re.match(_NOT_FINITE, text):
            raise ValueError(
                f"row {row + 1:,} holds {clip(text)!r} among numbers; leave a field empty where "
                "the value is missing"
            )
        raise ValueError(f"row {row + 1:,} holds {clip(text)!r}, which is too large a number")
    for row in np.flatnonzero(np.abs(values) >= _EXACT).tolist():
        text = array[row].as_py()
        if re.match(_INTEGER, text) and not _exact(text, values[row]):
            raise ValueError(
                f"row {row + 1:,} holds an integer beyond 2^53, which would lose digits; if the "
                "column is an identifier, leave it out"
            )


def _exact(text: str, value: float) -> bool:
    # 300 digits and more were infinite; the rest is short enough for int().
    return int(text) == int(value)
