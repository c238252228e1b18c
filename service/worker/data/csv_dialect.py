"""What kind of CSV a file is: its encoding, its separator, and where its header is."""

import csv
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.common.errors import UnsupportedMediaType, clip
from service.worker.data.table import refuse

SEPARATORS = (",", ";", "\t", "|")
_SPELLED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAMPLE = 1 << 20
"""Bytes at the start of a file by which it is judged."""
_ROWS = 20
"""Rows below the header that have to agree with it where it holds two separators."""

_ZIP = b"PK\x03\x04"
_END = 1 << 16
"""Bytes at either end of a zip file in which the names of its files are looked for."""
_OTHER_FILES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "An old Excel file (.xls)", "save it as CSV"),
    (_ZIP, "A zip file", "unpack it and send the CSV or Parquet in it"),
    (b"\x1f\x8b", "A gzip file", "unpack it and send the CSV or Parquet in it"),
    (b"BZh", "A bzip2 file", "unpack it and send the CSV or Parquet in it"),
)
_NAMED = 'name its encoding: "encoding": "{0}", in /predict text/csv; charset={0}'.format
"""Returns how a client names an encoding."""
_NEWLINE = re.compile(rb"\r\n|\r|\n")
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[ \t]*(\r\n|\n|\r|$)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """A CSV file that was looked at: its text in UTF-8, and how it is separated."""

    data: bytes
    """UTF-8, from the header on."""
    separator: str
    width: int
    """The number of columns in the header."""
    first_line: int = 1
    """The number of the header's line in the file."""

    @property
    def comma_is_decimal(self) -> bool:
        """Whether a comma in a number is a decimal comma: the file separates by another sign."""
        return self.separator in (";", "\t")


def dialect_of(data: bytes, encoding: str, at: str) -> Dialect:
    """Look at a file; raises UnusableData, and UnsupportedMediaType for what is no text."""
    _refuse_other_files(data)
    data = _as_utf8(data, encoding, at)
    line = _SEPARATOR_LINE.match(data)
    if line is not None:
        separator = line.group(1).decode("latin-1")
        if separator not in SEPARATORS:
            raise refuse(
                f"Line 1 says that {separator!r} separates the fields; that may be a comma, a "
                "semicolon, a tab or a vertical bar.",
                at,
            )
        data = data[line.end() :]
    lines = 1 + (line is not None)
    lines += len(_NEWLINE.findall(data[: len(data) - len(data.lstrip(b"\r\n"))]))
    data = data.lstrip(b"\r\n")
    if not data.strip():
        raise refuse("The CSV is empty; it needs a header row, and rows.", at)
    separator = separator if line is not None else _separator(data, at)
    header = _records(data, separator, 1)
    if not header:
        raise refuse("The header row of the CSV cannot be read.", at)
    return Dialect(data, separator, len(header[0]), lines)


def _refuse_other_files(data: bytes) -> None:
    for magic, kind, advice in _OTHER_FILES:
        if data.startswith(magic):
            if magic == _ZIP and any(b"xl/" in end for end in (data[:_END], data[-_END:])):
                kind, advice = "An Excel file (.xlsx)", "save it as CSV"
            raise UnsupportedMediaType(kind, advice=advice)


def _as_utf8(data: bytes, encoding: str, at: str) -> bytes:
    """Return the file in UTF-8, without a byte order mark."""
    if encoding != "utf-8":
        try:
            data = data.decode(encoding).removeprefix("\ufeff").encode()
        except (UnicodeDecodeError, UnicodeEncodeError) as error:
            raise refuse(
                f"The CSV has bytes that are no text in {encoding}; name another encoding.", at
            ) from error
    elif data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse(f"The CSV is in UTF-16; save it as UTF-8, or {_NAMED('utf-16')}.", at)
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len(_NEWLINE.findall(data[: error.start])) + 1
        raise refuse(
            f"The CSV is not in UTF-8 (byte 0x{data[error.start]:02x} in line {line}); it looks "
            f"like Latin-1 or Windows-1252: save it as UTF-8, or {_NAMED('windows-1252')}.",
            at,
        ) from error
    if b"\0" in data:
        raise refuse("The CSV holds NUL characters; it is not a text file.", at)
    return data


def _records(data: bytes, separator: str, count: int) -> list[list[str]]:
    """Return the first records of a file, as far as the sample holds them whole."""
    head = io.StringIO(data[:_SAMPLE].decode("utf-8", "ignore"), newline=None)
    lines = (line for line in head if line.strip("\n"))
    found: list[list[str]] = []
    try:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        found.extend(itertools.islice(reader, count))
    except csv.Error:
        return found
    return found


def _separator(data: bytes, at: str) -> str:
    """Return the separator that the header shows; where it holds two, the rows have to agree."""
    found = {sign: _records(data, sign, 1 + _ROWS) for sign in SEPARATORS}
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
        return next((sign for sign in SEPARATORS if sign.encode() not in data), ",")
    if len(possible) == 1:
        return possible[0]
    even = [
        sign
        for sign in possible
        if len(found[sign]) > 1
        and len({len(record) for record in found[sign][1:]}) == 1
        and len(found[sign][0]) == len(found[sign][1])
    ]
    even = [sign for sign in even if _has_whole_quotes(data, sign)] or even
    if "," in even or (not even and "," in possible):
        return ","
    if len(even) == 1:
        return even[0]
    signs = " and ".join(_SPELLED[sign] for sign in possible)
    raise refuse(f"The header row holds {signs}; separate by commas.", at)


def _has_whole_quotes(data: bytes, separator: str) -> bool:
    """Return whether quotes in the header begin and end at fields that are separated so."""
    head = data[:_SAMPLE].decode("utf-8", "ignore")
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
    lines = data[:_SAMPLE].splitlines()[: 1 + _ROWS]
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
