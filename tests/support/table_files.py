"""Tables as Hypothesis makes them, written as the files that people's programs write."""

import io
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from service.schema.file_options import MARKERS

Rows = dict[str, list[Any]]

ROWS = st.integers(8, 16)
NAMES = st.lists(
    st.text(st.sampled_from('ab é,;|"x'), min_size=1, max_size=6)
    .filter(str.strip)
    .map(lambda name: "c" + name),
    min_size=1,
    max_size=3,
    unique_by=str.strip,
)
NUMBERS = st.integers(-1000, 1000).map(float) | st.floats(-1e6, 1e6).map(lambda x: x + 0.0)
WORDS = st.sampled_from(
    [
        "rome",
        "oslo",
        " rome",
        "a,b",
        "a;b|c",
        'say "hi"',
        "two\nlines",
        "NA",
        "-",
        "1,5",
        "007",
        "é",
    ]
)


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written."""

    separator: str
    newline: str
    blanks: bool
    quotes: bool
    marker: str
    decimal_comma: bool
    mark: bool


DIALECTS = st.builds(
    Dialect,
    separator=st.sampled_from([",", ";", "\t", "|"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    blanks=st.booleans(),
    quotes=st.booleans(),
    marker=st.sampled_from(["", *MARKERS]),
    decimal_comma=st.booleans(),
    mark=st.booleans(),
)


@st.composite
def tables(draw: st.DrawFn) -> Rows:
    """Return columns of numbers, booleans and texts; the target `ok` has two classes."""
    count = draw(ROWS)
    table: Rows = {}
    for name in draw(NAMES):
        kind = draw(st.sampled_from([NUMBERS, st.booleans(), WORDS]))
        cells = st.none() | kind if draw(st.booleans()) else kind
        values: list[Any] = draw(st.lists(cells, min_size=count, max_size=count))
        # One value at least, which shows of what kind the column is.
        values[0] = "rome" if kind is WORDS else draw(kind)
        table[name] = values
    table["ok"] = [("no", "yes")[row % 2] for row in range(count)]
    return table


def as_csv(table: Rows, dialect: Dialect) -> bytes:
    """Write the table as somebody's program might."""
    names = list(table)
    # A name with one of the signs is quoted, or the header would leave a doubt.
    lines = [[_quoted(name, dialect, not name.isidentifier()) for name in names]]
    if len(names) == 1:  # in which nothing shows that the comma separates no fields
        dialect = replace(dialect, decimal_comma=False)
    lines += [
        [_field(value, dialect, table[n]) for n, value in zip(names, row, strict=True)]
        for row in zip(*table.values(), strict=True)
    ]
    blank = " " if dialect.blanks else ""
    text = dialect.newline.join(
        dialect.separator.join(f"{blank}{field}{blank}" for field in line) for line in lines
    )
    return ("\ufeff" if dialect.mark else "").encode() + (text + dialect.newline).encode()


def _field(value: Any, dialect: Dialect, column: list[Any]) -> str:
    if value is None:
        texts = any(isinstance(other, str) for other in column)
        return "" if texts else _quoted(dialect.marker, dialect)
    if isinstance(value, bool):
        return _quoted(str(value).lower(), dialect)
    if isinstance(value, float):
        text = repr(value)
        comma = dialect.decimal_comma and dialect.separator in (";", "\t") and "e" not in text
        return _quoted(text.replace(".", ",") if comma else text, dialect)
    return _quoted(value, dialect, value != value.strip())


def _quoted(text: str, dialect: Dialect, needed: bool = False) -> str:
    special = any(sign in text for sign in (dialect.separator, '"', "\n"))
    if not (needed or special or (dialect.quotes and text)):
        return text
    return '"' + text.replace('"', '""') + '"'


def as_arrow(table: Rows) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in table.items()})


def as_parquet(table: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(as_arrow(table), sink)
    return sink.getvalue()
