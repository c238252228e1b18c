"""Files of rows against JSON: the same rows are read alike in every form, or refused in every form.

For arbitrary bytes instead of a file, only the documented errors are raised.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common.domain import RowsMedia
from service.common.errors import (
    BodyTooLarge,
    InvalidInput,
    InvalidRequest,
    UnsupportedMediaType,
    UnusableData,
)
from service.schema.contract import Feature, Schema
from service.schema.decoder import Decoder
from service.schema.decoder import Limits as JsonLimits
from service.worker.data.csv import read_csv
from service.worker.data.matrix import read_matrix
from service.worker.data.parquet import read_parquet
from service.worker.data.table import Limits, Table
from tests.support.bodies import schemas
from tests.support.columnar import columnar

MEDIA: tuple[RowsMedia, ...] = ("csv", "parquet", "arrow")
DOCUMENTED = (InvalidRequest, BodyTooLarge, UnsupportedMediaType)

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree") / "rows"


def is_plain(schema: Schema) -> bool:
    """Return whether CSV can represent it: it trims names, and reads empty fields as missing."""
    names = [feature.name for feature in schema.features]
    return all(name == name.strip() and name for name in names) and not any(
        "" in feature.categories for feature in schema.features
    )


@st.composite
def cells(draw: st.DrawFn, feature: Feature) -> Any:
    """Return a value for the feature or none: usually valid, else out of range or unknown."""
    wrong = draw(st.integers(0, 14)) == 0
    if draw(st.integers(0, 4)) == 0 and (feature.nullable or wrong):
        return None
    if feature.type == "boolean":
        return draw(st.booleans())
    if feature.type == "number":
        bound = min(feature.high, 1e300)
        value = draw(st.floats(-bound, bound))
        return value * 3 if wrong else value
    return "seen nowhere" if wrong else draw(st.sampled_from(feature.categories))


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Schema, Rows]:
    schema = draw(schemas().filter(is_plain))
    row = st.fixed_dictionaries({f.name: cells(f) for f in schema.features})
    return schema, draw(st.lists(row, min_size=1, max_size=6))


def written(schema: Schema, rows: Rows, media: RowsMedia) -> bytes:
    names = [feature.name for feature in schema.features]
    if media == "csv":
        lines = io.StringIO()
        writer = csv.writer(lines, quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        for row in rows:
            writer.writerow(["" if row[name] is None else _field(row[name]) for name in names])
        return lines.getvalue().encode()
    return columnar(rows, media, schema)


def _field(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def outcome(read: Any) -> Any:
    """Return the matrix, or the places of its errors."""
    try:
        matrix = read()
    except InvalidInput as error:
        return sorted(problem.pointer for problem in error.problems)
    return np.asarray(matrix).tobytes(), matrix.shape


@settings(deadline=None)
@given(scenes(), st.sampled_from(MEDIA))
def test_a_file_and_json_are_read_alike_or_refused_at_the_same_places(
    path: Path, scene: tuple[Schema, Rows], media: RowsMedia
) -> None:
    schema, rows = scene
    body = json.dumps({"instances": rows}).encode()
    path.write_bytes(written(schema, rows, media))

    as_json = outcome(lambda: Decoder(schema, JsonLimits()).decode(body)[0])
    as_file = outcome(lambda: read_matrix(path, media, schema, Limits()))

    assert as_file == as_json


PIECES = st.one_of(
    st.sampled_from(
        [
            *(b",", b"\n", b"\r", b"\r\n", b'"', b'""', b";", b"\t", b" ", b"\0", b"\xff"),
            *(b"\xef\xbb\xbf", b"a", b"b", b"1", b"-2.5", b"1e400", b"nan", b"true"),
            *("é".encode(), b"x" * 300),
        ]
    ),
    st.binary(max_size=4),
)


@st.composite
def files(draw: st.DrawFn, media: str) -> bytes:
    """Return bytes that are almost a file: pieces of CSV, or a damaged file."""
    if media == "csv":
        return draw(st.lists(PIECES, max_size=30).map(b"".join))
    values = draw(st.lists(st.none() | st.floats() | st.just(2.0**1000), max_size=5))
    kinds = (
        *(pa.float64(), pa.float32(), pa.string(), pa.list_(pa.float64()), pa.timestamp("s")),
        pa.dictionary(pa.int8(), pa.string()),
    )
    array: Any = pa.array(values, pa.float64())
    kind = draw(st.sampled_from(kinds))
    if kind not in (pa.float64(), pa.float32()):
        array = pa.nulls(len(values), kind)
    names = draw(st.sampled_from([["a"], ["a", "b"], ["a", "a"], ["", "b"]]))
    table = pa.Table.from_arrays([array.cast(kind)] * len(names), names=names)
    sink = io.BytesIO()
    if media == "parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    data = bytearray(sink.getvalue())
    for _ in range(draw(st.integers(0, 3))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            if draw(st.integers(0, 3)) == 0:
                del data[at:]
            else:
                data[at] = draw(st.integers(0, 255))
    return bytes(data)


SCHEMA = Schema((Feature("a", "number", nullable=True), Feature("b", "text", True, ("x",))), (0, 1))
LIMITS = Limits(rows=100, columns=50, cells=1000, bytes=2**20)


@settings(deadline=None)
@given(st.data(), st.sampled_from(MEDIA))
def test_bytes_to_predict_from_give_a_matrix_or_a_documented_error(
    path: Path, data: st.DataObject, media: RowsMedia
) -> None:
    path.write_bytes(data.draw(files(media)))

    try:
        matrix = read_matrix(path, media, SCHEMA, LIMITS)
    except DOCUMENTED:
        return

    assert matrix.shape[1] == 2
    assert not np.isinf(matrix).any()


@settings(deadline=None)
@given(st.data(), st.sampled_from(["csv", "parquet"]))
def test_bytes_of_a_data_set_give_a_table_or_a_documented_error(
    data: st.DataObject, media: str
) -> None:
    content = data.draw(files(media))

    try:
        table = (read_csv if media == "csv" else read_parquet)(content, LIMITS)
    except DOCUMENTED:
        return

    again = Table.from_parquet(table.to_parquet())
    assert again.sha256() == table.sha256()


def test_a_file_whose_columns_have_names_that_are_not_utf8_is_refused(path: Path) -> None:
    for media in ("parquet", "arrow"):
        table, sink = pa.table({"quite a name": [1.0]}), io.BytesIO()
        if media == "parquet":
            pq.write_table(table, sink, store_schema=False)
        else:
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        path.write_bytes(sink.getvalue().replace(b"quite a name", b"quite \x80 name"))

        with pytest.raises(UnusableData):
            read_matrix(path, media, SCHEMA, LIMITS)
        if media == "parquet":
            with pytest.raises(UnusableData):
                read_parquet(path.read_bytes(), LIMITS)
