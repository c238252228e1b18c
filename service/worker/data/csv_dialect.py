"""What kind of CSV a file is: its separator, its columns, and whether its header is one."""

import csv
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.common.errors import clip
from service.worker.data.csv_text import SAMPLE, SEPARATORS, Survey
from service.worker.data.table import refuse

_SPELLED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_ROWS = 20
"""Rows below the header that have to agree with it where it holds two separators."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is separated."""

    separator: str
    width: int
    """The number of columns in the header."""

    @property
    def comma_is_decimal(self) -> bool:
        """Whether a comma in a number is a decimal comma: the file separates by another sign."""
        return self.separator in (";", "\t")


def dialect_of(survey: Survey, at: str) -> Dialect:
    """Judge a file by its first rows; raises UnusableData."""
    separator = survey.separator or _separator(survey, at)
    header = _records(survey.head, separator, 1)
    if not header:
        raise refuse("The header row of the CSV cannot be read.", at)
    return Dialect(separator, len(header[0]))


def _records(data: bytes, separator: str, count: int) -> list[list[str]]:
    """Return the first records of a file, as far as the sample holds them whole."""
    head = io.StringIO(data[:SAMPLE].decode("utf-8", "ignore"), newline=None)
    lines = (line for line in head if line.strip("\n"))
    found: list[list[str]] = []
    try:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        found.extend(itertools.islice(reader, count))
    except csv.Error:
        return found
    return found


def _separator(survey: Survey, at: str) -> str:
    """Return the separator that the header shows; where it holds two, the rows have to agree."""
    found = {sign: _records(survey.head, sign, 1 + _ROWS) for sign in SEPARATORS}
    # In a header above rows that never have the sign, it is part of a name; commas rarely are.
    possible = [
        sign
        for sign, records in found.items()
        if records
        and len(records[0]) > 1
        and (sign == "," or max(map(len, records[1:] or records)) > 1)
    ]
    if not possible:
        _refuse_title(found, at)
        # A file of one column: any sign that is nowhere in it separates nothing.
        return next((sign for sign in SEPARATORS if sign not in survey.signs), ",")
    if len(possible) == 1:
        return possible[0]
    even = [
        sign
        for sign in possible
        if len(found[sign]) > 1
        and len({len(record) for record in found[sign][1:]}) == 1
        and len(found[sign][0]) == len(found[sign][1])
    ]
    even = [sign for sign in even if _has_whole_quotes(survey.head, sign)] or even
    if "," in even or (not even and "," in possible):
        return ","
    if len(even) == 1:
        return even[0]
    signs = " and ".join(_SPELLED[sign] for sign in possible)
    raise refuse(f"The header row holds {signs}; separate by commas.", at)


def _has_whole_quotes(data: bytes, separator: str) -> bool:
    """Return whether quotes in the header begin and end at fields that are separated so."""
    head = data[:SAMPLE].decode("utf-8", "ignore")
    closed = re.sub(rf'"[ \t]+(?={re.escape(separator)}|[\r\n])', '"', head)
    lines = io.StringIO(closed, newline=None)
    try:
        next(csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        return False
    return True


def _refuse_title(found: Mapping[str, list[list[str]]], at: str) -> None:
    """Raise UnusableData where a line of words stands above a table."""
    for sign, records in found.items():
        if not records:
            continue
        (title, *rows) = records
        widths = {len(row) for row in rows}
        if len(rows) > 1 and len(widths) == 1 and widths != {1}:
            raise refuse(
                f"Line 1 ({clip(title[0], 40)!r}) looks like a title above a table that is "
                f"separated by {_SPELLED[sign]}: remove it; the first line names the columns.",
                at,
            )


def cause_of_unequal_rows(data: bytes, separator: str, width: int) -> str:
    """Return why rows may have another number of fields than the header; empty if unknown."""
    records = _records(data, separator, 1 + _ROWS)
    widths = {len(record) for record in records[1:]}
    if width > 1 and widths == {width + 1}:
        return "each row has a field that the header does not name: name it there, or remove it"
    return ""


def is_separated_by_blanks(data: bytes) -> bool:
    """Return whether the lines of a file have as many words each, and more than one."""
    lines = data[:SAMPLE].splitlines()[: 1 + _ROWS]
    words = {len(line.split()) for line in lines if line.strip()}
    return len(words) == 1 and words != {1}


def looks_like_data(names: Sequence[str], column_holds: Sequence[bool]) -> bool:
    """Return whether a header is a row of data: each name a number, or a value of its column.

    `column_holds` says for each column whether one of its rows holds its name.
    """
    numbers = [is_number(name) for name in names]
    return any(numbers) and all(
        number or held for number, held in zip(numbers, column_holds, strict=True)
    )


def is_number(name: str) -> bool:
    """Return whether the name of a column is a number."""
    return re.fullmatch(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?", name.strip()) is not None
