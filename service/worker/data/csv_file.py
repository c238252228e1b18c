"""A CSV file as columns of texts, read part by part, as often as wished.

Names of columns, and fields without quotes, are trimmed. An empty field is missing.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from service.common.domain import Note
from service.common.errors import Problem, UnusableData, quoted
from service.worker.data.column_types import Wanted
from service.worker.data.csv_dialect import (
    Dialect,
    cause_of_unequal_rows,
    dialect_of,
    is_number,
    is_separated_by_blanks,
    looks_like_data,
)
from service.worker.data.csv_text import CsvText, Lines
from service.worker.data.table import LIMITS, MOST_PROBLEMS, Limits, refuse
from service.worker.data.text_column import TextColumn

BLANKS = (b" ", b"\t", "\u00a0".encode())
"""What is trimmed from a field; web pages and spreadsheets have non-breaking spaces."""


class CsvFile:
    """A CSV file that was looked at, and whose rows are read by `parts`."""

    refusal = "The CSV cannot be read"
    pandas_index: frozenset[str] = frozenset()

    def __init__(
        self,
        source: bytes | Path,
        limits: Limits = LIMITS,
        at: str = "",
        encoding: str = "utf-8",
        part: int = 0,
        part_of_column: int = 0,
    ) -> None:
        """Look at a file, of which about `part` bytes are read at a time; 0: all of it.

        Of many columns it is more, `part_of_column` for each: each costs some time a part.

        `at` is the pointer that problems get. Raises UnusableData, BodyTooLarge or, for what is not
        text, UnsupportedMediaType.
        """
        self._text = CsvText(source, encoding, at, part)
        self._limits, self._at = limits, at
        self.dialect: Dialect = dialect_of(self._text.survey, at)
        limits.check(1, self.dialect.width)
        if part:
            self._text.part = max(self._text.part, part_of_column * self.dialect.width)
        self.head = without_blanks(self._text.survey.head, self.dialect.separator)
        """The first MiB without the blanks around fields."""
        self.names: list[str] = []
        """Known from the first part on."""
        self.looks_like_data = False
        """Whether the first line seems to be a row; known after the last part."""

    def column(self, _: int, wanted: Wanted) -> TextColumn:
        """Return what looks at a column part by part."""
        return TextColumn(wanted, self.dialect.comma_is_decimal)

    def notes(self) -> list[Note]:
        """Return what is to be said of the file as a whole, once its parts were read.

        Raises UnusableData where it has no header.
        """
        if self.looks_like_data:
            raise refuse(
                "The first line looks like data; it has to name the columns: put a line of names "
                "above it.",
                self._at,
            )
        if self.dialect.width == 1 and is_separated_by_blanks(self.head):
            raise refuse("The fields look separated by blanks; separate them by commas.", self._at)
        notes = []
        numbers = [quoted(name, 24) for name in self.names if is_number(name)]
        if numbers:
            named = f"The header names columns {', '.join(numbers[:3])}"
            notes.append(Note(None, f"{named}: if it is a row of data, put names above it."))
        if self.dialect.separator != ",":
            spelled = {";": "semicolon", "\t": "tab", "|": "vertical bar"}[self.dialect.separator]
            notes.append(Note(None, f"The fields are separated by a {spelled}."))
        return notes

    def parts(self) -> Iterator[list[Any]]:
        """Yield the columns of the next rows, arrays of strings with null for an empty field.

        Raises UnusableData or BodyTooLarge, at the end if not before.
        """
        parser = _Parser(self._text, self.dialect, self.head, self._at)
        none = pa.scalar(None, pa.string())
        names: list[str] = []
        held: list[bool] = []
        for arrays in parser.parts():
            if not names:
                names = [array[0].as_py() for array in arrays]
                held = [False] * len(names)
                self.names = [name.strip() for name in names]
                arrays = [array[1:] for array in arrays]
            columns = [pc.if_else(pc.equal(array, ""), none, array) for array in arrays]
            if any(map(is_number, names)):
                found = [
                    bool(pc.any(pc.equal(column, name), min_count=0).as_py())
                    for name, column in zip(names, columns, strict=True)
                ]
                held = [before or now for before, now in zip(held, found, strict=True)]
            yield columns
        rows = parser.records - 1
        self._limits.check(rows, self.dialect.width)
        if not rows:
            raise refuse("The CSV has a header and no rows.", self._at)
        self.looks_like_data = looks_like_data(names, held)


class _Parser:
    """Goes through a file once, with Arrow's parser."""

    def __init__(self, text: CsvText, dialect: Dialect, head: bytes, at: str) -> None:
        self._text, self._dialect, self._head, self._at = text, dialect, head, at
        self._width = 0
        """The number of fields that Arrow finds in the header."""
        self.records = 0
        """Those so far, the header and those of another width too."""
        self._lines = Lines()
        self._quotes = 0
        self._last = ""
        self._problems: list[Problem] = []

    def parts(self) -> Iterator[list[Any]]:
        """Yield every field of the next records, the header too, as an array a column."""
        separator, width = self._dialect.separator, self._dialect.width
        for text in self._text.records(separator):
            data = without_blanks(text, separator)
            if data.strip(b"\r\n") if width > 1 else data:
                columns = self._parse(data)
                if self._width == width:
                    yield columns
            self._lines.add(data)
        if self._problems:
            raise self._unequal_rows()
        if self._width != width:
            raise refuse("The header row of the CSV cannot be read.", self._at)
        if self._quotes % 2 and ("\n" in self._last or "\r" in self._last):
            raise refuse("The CSV cannot be read: a quoted field is never closed.", self._at)

    def _parse(self, data: bytes) -> list[Any]:
        ragged: list[Any] = []

        def note(row: Any) -> str:
            ragged.append(row)
            most = MOST_PROBLEMS - len(self._problems)
            return "skip" if len(ragged) < most else "error"

        names = [f"f{index}" for index in range(self._width or self._dialect.width)]
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(data),
                pa_csv.ReadOptions(
                    # In one block, since a record that is longer than a block is an error.
                    block_size=len(data) + 1,
                    use_threads=False,
                    autogenerate_column_names=not self._width,
                    column_names=names if self._width else None,
                ),
                pa_csv.ParseOptions(
                    delimiter=self._dialect.separator,
                    newlines_in_values=True,
                    invalid_row_handler=note,
                    # In a file of one column, an empty line is a row without a value.
                    ignore_empty_lines=self._dialect.width > 1,
                ),
                pa_csv.ConvertOptions(
                    check_utf8=False,
                    strings_can_be_null=False,
                    column_types=dict.fromkeys(names, pa.string()),
                ),
            )
        except pa.ArrowInvalid as error:
            if not ragged and not self._problems:
                raise refuse(
                    "The CSV cannot be read: its quotes or its rows are broken.", self._at
                ) from error
            self._note_unequal(ragged, data)
            raise self._unequal_rows() from error
        self._note_unequal(ragged, data)
        self._width = self._width or table.num_columns
        self.records += table.num_rows + len(ragged)
        self._quotes += data.count(b'"')
        columns = [chunks.combine_chunks() for chunks in table.columns]
        if table.num_rows:
            self._last = columns[-1][-1].as_py() or ""
        return columns

    def _note_unequal(self, ragged: list[Any], data: bytes) -> None:
        """Keep which lines of a part have more or fewer fields than the header."""
        survey = self._text.survey
        starts: list[int] = []
        if ragged and not survey.has_quotes:
            first = survey.first_line + self._lines.count
            one = self._dialect.width == 1
            starts = [n for n, line in enumerate(data.splitlines(), first) if line or one]
        for row in ragged:
            where = f"record {self.records + row.number:,} (the header is the first)"
            if starts:
                where = f"line {starts[row.number - 1]:,}"
            self._problems.append(
                Problem(
                    self._at,
                    f"{where} has {row.actual_columns:,} fields; the header has "
                    f"{row.expected_columns:,}",
                )
            )

    def _unequal_rows(self) -> UnusableData:
        cause = cause_of_unequal_rows(self._head, self._dialect.separator, self._dialect.width)
        more = f": {cause}" if cause else ""
        first = self._problems[0].message
        return UnusableData(f"The CSV cannot be read: {first}{more}.", self._problems)


def without_blanks(data: bytes, separator: str) -> bytes:
    """Return whole records without the blanks around fields that are not quoted."""
    sign = separator.encode()
    # Looking for the last byte alone is thirty times as fast as looking for two.
    blanks = [b for b in BLANKS if b != sign and b[-1:] in data and b in data]
    data = data.strip(b" \t" if sign != b"\t" else b" ")
    if not blanks:
        return data
    pairs = [
        (pair, border)
        for border in (sign, b"\n", b"\r")
        for blank in blanks
        for pair in (blank + border, border + blank)
    ]
    # Records begin and end as a line does.
    lines = b"\n%b\n" % data
    if not any(pair in lines for pair, _ in pairs):
        return data
    if b'"' not in data:
        while any(pair in lines for pair, _ in pairs):
            for pair, border in pairs:
                lines = lines.replace(pair, border)
        return lines[1:-1]
    if _clean_records(separator).fullmatch(data):
        return data  # All those blanks are within quotes.
    # Thirty times as slow, since it has to know what is quoted.
    blank = b"(?:%b)*+" % b"|".join(map(re.escape, blanks))
    end = b"(%b|\r\n|\r|\n|\\Z)" % re.escape(sign)
    quoted = rb'("(?:[^"]|"")*+")'
    plain = rb"([^%b\r\n]*?)" % re.escape(sign)
    field = re.compile(blank + b"(?:" + quoted + b"|" + plain + b")" + blank + end)
    return field.sub(rb"\1\2\3", data)


@functools.cache
def _clean_records(separator: str) -> re.Pattern[bytes]:
    """Return what matches whole records none of whose fields begins or ends with a blank."""
    sign = re.escape(separator).encode()
    blank = b" " if separator == "\t" else rb" \t"
    quoted = rb'"(?:[^"]++|"")*+"(?=[%b\r\n]|\Z)' % sign
    begin = rb'(?!\xc2\xa0)[^"%b%b\r\n]' % (sign, blank)
    plain = rb"%b[^%b\r\n]*+(?<![%b])(?<!\xc2\xa0)" % (begin, sign, blank)
    field = rb"(?:%b|%b|)" % (quoted, plain)
    return re.compile(rb"(?:%b(?:%b%b)*+(?:[\r\n]++|\Z))*+" % (field, sign, field))
