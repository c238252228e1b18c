"""CSV files, read into tables; every field arrives as text, and the whole column decides its type.

Names of columns, and fields without quotes, are trimmed. An empty field is missing.
"""

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from service.common.domain import Note
from service.common.errors import Problem, UnusableData, quoted
from service.schema.file_options import NO_OPTIONS, FileOptions
from service.worker.data.csv_dialect import (
    Dialect,
    cause_of_unequal_rows,
    dialect_of,
    is_number,
    is_separated_by_blanks,
    looks_like_data,
)
from service.worker.data.selection import build_table, column_source
from service.worker.data.table import LIMITS, MOST_PROBLEMS, Limits, Table, refuse
from service.worker.data.text_column import read_texts

_BLANKS = (b" ", b"\t", "\u00a0".encode())
"""What is trimmed from a field; web pages and spreadsheets have non-breaking spaces."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A CSV file as texts: an Arrow array of strings a column, null where a field is empty."""

    names: list[str]
    columns: list[Any]
    dialect: Dialect
    looks_like_data: bool
    """Whether the first line seems to be a row, not the names of columns."""


def read_csv(
    data: bytes,
    limits: Limits = LIMITS,
    at: str = "",
    options: FileOptions = NO_OPTIONS,
    target: str | None = None,
) -> Table:
    """Read a CSV file with a header row; `at` is the pointer that problems get.

    Labels in the `target` column keep their spelling. Raises UnusableData, BodyTooLarge or, for
    what is not text, UnsupportedMediaType.
    """
    fields = read_fields(data, limits, at, options.encoding)
    if fields.looks_like_data:
        raise refuse(
            "The first line looks like data; it has to name the columns: put a line of names "
            "above it.",
            at,
        )
    if fields.dialect.width == 1 and is_separated_by_blanks(fields.dialect.data):
        raise refuse("The fields look separated by blanks; separate them by commas.", at)
    notes = []
    numbers = [quoted(name, 24) for name in fields.names if is_number(name)]
    if numbers:
        named = f"The header names columns {', '.join(numbers[:3])}"
        notes.append(Note(None, f"{named}: if it is a row of data, put names above it."))
    if fields.dialect.separator != ",":
        spelled = {";": "semicolon", "\t": "tab", "|": "vertical bar"}[fields.dialect.separator]
        notes.append(Note(None, f"The fields are separated by a {spelled}."))
    sources = [
        column_source(
            name, partial(read_texts, array, comma_is_decimal=fields.dialect.comma_is_decimal)
        )
        for name, array in zip(fields.names, fields.columns, strict=True)
    ]
    return build_table(sources, options, target, at, "The CSV cannot be read", notes)


def read_fields(
    data: bytes, limits: Limits = LIMITS, at: str = "", encoding: str = "utf-8"
) -> Fields:
    """Read the same file into texts; raises as `read_csv` does."""
    dialect = dialect_of(data, encoding, at)
    limits.check(1, dialect.width)
    dialect = _without_blanks(dialect)
    arrays = _parse(dialect, at)
    rows = len(arrays[0]) - 1
    limits.check(rows, dialect.width)
    if not rows:
        raise refuse("The CSV has a header and no rows.", at)
    none = pa.scalar(None, pa.string())
    columns = [pc.if_else(pc.equal(array[1:], ""), none, array[1:]) for array in arrays]
    names = [array[0].as_py() for array in arrays]
    held = [
        bool(pc.any(pc.equal(column, name), min_count=0).as_py())
        for name, column in zip(names, columns, strict=True)
    ]
    return Fields([name.strip() for name in names], columns, dialect, looks_like_data(names, held))


def read_numbers_at_once(data: bytes, numbers: Collection[str]) -> dict[str, Any] | None:
    """Read a plain file of numbers in a tenth of the time: `numbers` straight into doubles.

    The other columns are as `read_fields` gives them. None where a quote, a field that is not a
    plain number or whatever else needs a closer look: that says nothing about the file.
    """
    line = data[: 1 << 20].split(b"\n", 1)[0]
    quoted = data.find(b'"', len(line)) >= 0 or line.count(b'"') % 2
    if quoted or b"\0" in data or b"," not in line:
        return None
    if data.startswith(b"\xef\xbb\xbf") or any(sign in line for sign in (b";", b"\t", b"|")):
        return None
    try:
        header = [name.strip() for name in next(csv.reader([line.decode()]))]
        # In a file of one column an empty line is a row.
        if len(header) < 2 or len(set(header)) < len(header) or not set(numbers) <= set(header):
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
    none = pa.scalar(None, pa.string())
    for name, array in columns.items():
        if name not in numbers:
            trimmed = pc.utf8_trim(array, b"".join(_BLANKS).decode())
            columns[name] = pc.if_else(pc.equal(trimmed, ""), none, trimmed)
        elif not pc.all(pc.is_finite(array), min_count=0).as_py():
            return None
    return columns


def _without_blanks(dialect: Dialect) -> Dialect:
    """Remove the blanks around fields that are not quoted."""
    data, separator = dialect.data, dialect.separator.encode()
    # Looking for the last byte alone is thirty times as fast as looking for two.
    blanks = [b for b in _BLANKS if b != separator and b[-1:] in data and b in data]
    data = data.strip(b" \t" if separator != b"\t" else b" ")
    pairs = [
        (pair, border)
        for border in (separator, b"\n", b"\r")
        for blank in blanks
        for pair in (blank + border, border + blank)
    ]
    if not any(pair in data for pair, _ in pairs):
        return replace(dialect, data=data)
    if b'"' not in data:
        while any(pair in data for pair, _ in pairs):
            for pair, border in pairs:
                data = data.replace(pair, border)
        return replace(dialect, data=data)
    # Eight times as slow, since it has to know what is quoted.
    blank = b"(?:%b)*+" % b"|".join(map(re.escape, blanks))
    end = b"(%b|\r\n|\r|\n|\\Z)" % re.escape(separator)
    quoted = rb'("(?:[^"]|"")*+")'
    plain = rb"([^%b\r\n]*?)" % re.escape(separator)
    field = re.compile(blank + b"(?:" + quoted + b"|" + plain + b")" + blank + end)
    return replace(dialect, data=field.sub(rb"\1\2\3", data))


def _parse(dialect: Dialect, at: str) -> list[Any]:
    """Return every field of every record, the header too, as one array of strings a column."""
    data, width = dialect.data, dialect.width
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
                delimiter=dialect.separator,
                newlines_in_values=True,
                invalid_row_handler=note,
                # In a file of one column, an empty line is a row without a value.
                ignore_empty_lines=width > 1,
            ),
            pa_csv.ConvertOptions(
                check_utf8=False,
                strings_can_be_null=False,
                column_types={f"f{index}": pa.string() for index in range(width)},
            ),
        )
    except pa.ArrowInvalid as error:
        if not ragged:
            raise refuse(
                "The CSV cannot be read: its quotes or its rows are broken.", at
            ) from error
    if ragged:
        raise _unequal_rows(ragged, dialect, at)
    columns = [chunks.combine_chunks() for chunks in table.columns]
    if len(columns) != width:
        raise refuse("The header row of the CSV cannot be read.", at)
    last = columns[-1][-1].as_py()
    if data.count(b'"') % 2 and ("\n" in last or "\r" in last):
        raise refuse("The CSV cannot be read: a quoted field is never closed.", at)
    return columns


def _unequal_rows(ragged: list[Any], dialect: Dialect, at: str) -> UnusableData:
    lines = _Lines(dialect)
    problems = [
        Problem(
            at,
            f"{lines.line_of(row.number)} has {row.actual_columns:,} fields; the header has "
            f"{row.expected_columns:,}",
        )
        for row in ragged
    ]
    cause = cause_of_unequal_rows(dialect.data, dialect.separator, dialect.width)
    more = f": {cause}" if cause else ""
    return UnusableData(f"The CSV cannot be read: {problems[0].message}{more}.", problems)


class _Lines:
    """Finds the line of a record; its number instead, where quoted fields may hold line breaks."""

    def __init__(self, dialect: Dialect) -> None:
        self.starts = (
            None
            if b'"' in dialect.data
            else [
                number
                for number, line in enumerate(dialect.data.splitlines(), dialect.first_line)
                if line or dialect.width == 1
            ]
        )

    def line_of(self, record: int) -> str:
        if self.starts is None:
            return f"record {record:,} (the header is the first)"
        return f"line {self.starts[record - 1]:,}"
