"""The text of a CSV file in UTF-8, in parts that end where a record ends."""

import codecs
import functools
import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from service.common.errors import UnsupportedMediaType
from service.worker.data.table import refuse

SEPARATORS = (",", ";", "\t", "|")
SAMPLE = 1 << 20
"""Bytes at the start of a file by which it is judged."""
_LONGEST_RECORD = 1 << 26
"""More bytes of one record than a file may have that is read as a whole."""

_SMALLEST_PART = 64
"""More bytes than Excel's first line has."""

_ZIP = b"PK\x03\x04"
_END = 1 << 16
"""Bytes at either end of a zip file in which the names of its files are looked for."""
_OTHER_FILES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "An old Excel file (.xls)", "save it as CSV"),
    (_ZIP, "A zip file", "unpack it and send the CSV or Parquet in it"),
    (b"\x1f\x8b", "A gzip file", "unpack it and send the CSV or Parquet in it"),
    (b"BZh", "A bzip2 file", "unpack it and send the CSV or Parquet in it"),
)
_MARK = b"\xef\xbb\xbf"
_NAMED = 'name its encoding: "encoding": "{0}", in /predict text/csv; charset={0}'.format
"""Returns how a client names an encoding."""
_SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[ \t]*(\r\n|\n|\r|$)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at the whole file shows."""

    head: bytes
    """The first MiB in UTF-8, from the header on."""
    signs: frozenset[str]
    """The separators that are anywhere in it."""
    has_quotes: bool
    separator: str
    """The one that Excel's first line names; empty without such a line."""
    first_line: int
    """The number of the header's line in the file."""


class CsvText:
    """A file that is read as often as wished, in parts of about `part` bytes; 0: as a whole."""

    def __init__(self, source: bytes | Path, encoding: str, at: str, part: int = 0) -> None:
        """Look at the file; raises UnusableData, and UnsupportedMediaType for what is no text.

        `at` is the pointer that problems get.
        """
        self._source, self._encoding, self._at = source, encoding, at
        self.part = max(part, _SMALLEST_PART) if part else -1
        self._before_header = 0
        self._refuse_other_files()
        self.survey = self._look()

    def records(self, separator: str) -> Iterator[bytes]:
        """Yield the text from the header on, in parts of whole records."""
        if self.part < 0:
            yield from self._from_header()
            return
        whole = _whole_records(separator)
        rest = b""
        for block in self._from_header():
            text = rest + block
            if b'"' in text:
                end = whole.match(text).end()  # type: ignore[union-attr]
            else:
                # A carriage return at the end may be followed by a line feed.
                end = 1 + max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1))
            if end:
                yield text[:end]
            rest = text[end:]
            if len(rest) > _LONGEST_RECORD:
                raise refuse(
                    "The CSV cannot be read: a row has more than 64 MiB; perhaps a quoted field is "
                    "never closed.",
                    self._at,
                )
        if rest:
            yield rest

    def _open(self) -> BinaryIO:
        return (
            io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")
        )

    def _refuse_other_files(self) -> None:
        with self._open() as file:
            first = file.read(_END)
            for magic, kind, advice in _OTHER_FILES:
                if first.startswith(magic):
                    file.seek(max(file.seek(0, io.SEEK_END) - _END, 0))
                    if magic == _ZIP and any(b"xl/" in end for end in (first, file.read())):
                        kind, advice = "An Excel file (.xlsx)", "save it as CSV"
                    raise UnsupportedMediaType(kind, advice=advice)
        if self._encoding == "utf-8" and first.startswith((b"\xff\xfe", b"\xfe\xff")):
            sentence = f"The CSV is in UTF-16; save it as UTF-8, or {_NAMED('utf-16')}."
            raise refuse(sentence, self._at)

    def _blocks(self) -> Iterator[bytes]:
        """Yield the file in UTF-8, without a byte order mark; raises UnicodeError."""
        decoder = codecs.getincrementaldecoder(self._encoding)()
        with self._open() as file:
            first = True
            while block := file.read(self.part):
                if self._encoding != "utf-8":
                    block = decoder.decode(block).encode()
                yield block.removeprefix(_MARK) if first else block
                first = False
        if self._encoding != "utf-8":
            yield decoder.decode(b"", final=True).encode()

    def _checked(self) -> Iterator[bytes]:
        """Yield the same; raises UnusableData where it is not UTF-8."""
        if self._encoding != "utf-8":
            try:
                yield from self._blocks()
            except UnicodeError as error:
                raise refuse(
                    f"The CSV has bytes that are no text in {self._encoding}; name another "
                    "encoding.",
                    self._at,
                ) from error
            return
        decoder = codecs.getincrementaldecoder("utf-8")()
        complete = 0
        try:
            for block in self._blocks():
                decoder.decode(block)
                complete += 1
                yield block
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            lines = Lines()
            for block in itertools.islice(self._blocks(), complete):
                lines.add(block)
            lines.add(error.object[: error.start])
            raise refuse(
                f"The CSV is not in UTF-8 (byte 0x{error.object[error.start]:02x} in line "
                f"{lines.count + 1}); it looks like Latin-1 or Windows-1252: save it as UTF-8, or "
                f"{_NAMED('windows-1252')}.",
                self._at,
            ) from error

    def _look(self) -> Survey:
        """Go through the file once, and find where its header is."""
        head, lines, named = b"", Lines(), None
        has_rows = has_nul = has_quotes = False
        signs: set[str] = set()
        for number, block in enumerate(self._checked()):
            has_nul = has_nul or b"\0" in block
            if not number and (named := _SEPARATOR_LINE.match(block)):
                self._before_header = named.end()
                block = block[named.end() :]
            if not head:
                rest = block.lstrip(b"\r\n")
                lines.add(block[: len(block) - len(rest)])
                self._before_header += len(block) - len(rest)
                block = rest
            has_rows = has_rows or bool(block.strip())
            has_quotes = has_quotes or b'"' in block
            signs.update(sign for sign in SEPARATORS if sign.encode() in block)
            head += block[: SAMPLE - len(head)]
        if has_nul:
            raise refuse("The CSV holds NUL characters; it is not a text file.", self._at)
        separator = "" if named is None else named.group(1).decode("latin-1")
        if named is not None and separator not in SEPARATORS:
            raise refuse(
                f"Line 1 says that {separator!r} separates the fields; that may be a comma, a "
                "semicolon, a tab or a vertical bar.",
                self._at,
            )
        if not has_rows:
            raise refuse("The CSV is empty; it needs a header row, and rows.", self._at)
        first_line = 1 + (named is not None) + lines.count
        return Survey(head, frozenset(signs), has_quotes, separator, first_line)

    def _from_header(self) -> Iterator[bytes]:
        """Yield the blocks from the header on."""
        left = self._before_header
        for block in self._blocks():
            if left < len(block):
                yield block[left:]
            left = max(left - len(block), 0)


class Lines:
    """Counts the lines of a text that comes in parts."""

    def __init__(self) -> None:
        self.count = 0
        self._may_go_on = False

    def add(self, text: bytes) -> None:
        """Count the ends of lines in the next part."""
        self.count += text.count(b"\n")
        if b"\r" in text:
            self.count += text.count(b"\r") - text.count(b"\r\n")
        if self._may_go_on and text.startswith(b"\n"):
            self.count -= 1
        if text:
            self._may_go_on = text.endswith(b"\r")


@functools.cache
def _whole_records(separator: str) -> re.Pattern[bytes]:
    """Return what matches all records from the start of a text that end in it.

    Quotes count where a field begins with one, blanks around it apart, as Arrow reads them.
    """
    sign = re.escape(separator).encode()
    blank = rb"(?:[ \t]|\xc2\xa0)*+" if separator != "\t" else rb"(?: |\xc2\xa0)*+"
    rest = rb"[^%b\r\n]*+" % sign
    field = blank + rb'(?:"(?:[^"]++|"")*+"%b|[^%b\r\n"]%b|)' % (rest, sign, rest)
    end = rb"(?:\r\n|\n|\r(?=[^\n]))"
    return re.compile(rb"(?:%b(?:%b%b)*+%b)*+" % (field, sign, field, end), re.DOTALL)
