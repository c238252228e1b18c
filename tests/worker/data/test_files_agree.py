"""One table in every format: the same schema, the same notes, the same matrix to predict from."""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common.domain import RowsMedia
from service.common.errors import UnusableData
from service.schema.contract import Schema
from service.schema.decoder import Decoder
from service.schema.decoder import Limits as JsonLimits
from service.schema.file_options import MARKERS
from service.schema.missing_texts import MissingTexts
from service.schema.train_request import TrainRequest
from service.worker.data.csv import read_csv
from service.worker.data.inline import read_inline
from service.worker.data.matrix import read_matrix
from service.worker.data.parquet import read_parquet
from service.worker.data.table import Limits, Table
from service.worker.learning.fitting import fit
from service.worker.learning.plan import plan
from service.worker.learning.preprocessing import encode

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


def as_stream(table: Rows) -> bytes:
    sink, rows = io.BytesIO(), as_arrow(table)
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def learned(table: Table) -> tuple[Schema | None, object]:
    """Train on a table; return the schema, apart from how its file spells numbers, and notes.

    Where that cannot be done, return no schema, and the reason.
    """
    request = TrainRequest(name="m", model_type="DecisionTreeClassifier", target="ok")
    try:
        planned = plan(table, request)
    except UnusableData as error:
        return None, str(error)
    schema = fit(planned).schema
    features = tuple(replace(feature, written="") for feature in schema.features)
    return replace(schema, features=features), planned.notes


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree") / "rows"


# Half as many tables as elsewhere: each is fitted three times.
@settings(deadline=None, max_examples=settings().max_examples // 2)
@given(table=tables(), dialect=DIALECTS)
def test_a_table_is_the_same_in_every_format(path: Path, table: Rows, dialect: Dialect) -> None:
    records = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    from_csv = read_csv(as_csv(table, dialect), target="ok")
    from_json = read_inline({"records": json.loads(json.dumps(records))}, target="ok")
    from_parquet = read_parquet(as_parquet(table), target="ok")

    assert from_csv.rows == len(records)
    assert list(from_csv.columns) == [name.strip() for name in table]
    assert from_csv.sha256() == from_json.sha256() == from_parquet.sha256()

    schema, notes = learned(from_csv)
    assert (schema, notes) == learned(from_json) == learned(from_parquet)

    if schema is None:
        return
    del table["ok"]
    expected = encode(from_json, schema)
    texts, matrices = MissingTexts(schema.features), []
    files: dict[RowsMedia, bytes] = {
        "csv": as_csv(table, dialect),
        "parquet": as_parquet(table),
        "arrow": as_stream(table),
    }
    for media, content in files.items():
        path.write_bytes(content)
        matrix = read_matrix(path, media, schema, Limits())
        np.testing.assert_array_equal(texts.filled(matrix), expected)
        matrices.append(matrix)
    instances = [{k.strip(): v for k, v in record.items() if k != "ok"} for record in records]
    body = json.dumps({"instances": instances}).encode()
    decoded = Decoder(schema, JsonLimits()).decode(body)[0]
    for matrix in matrices:
        np.testing.assert_array_equal(matrix, decoded)
