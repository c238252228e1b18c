"""Rows to predict as CSV, Parquet or Arrow are answered like JSON, or refused with a reason."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common.domain import RowsMedia
from service.common.errors import BodyTooLarge, InvalidInput, UnusableData
from service.schema.contract import Feature, Schema
from service.schema.decoder import Decoder
from service.schema.decoder import Limits as JsonLimits
from service.worker.data.csv import read_fields, read_numbers_at_once
from service.worker.data.matrix import read_matrix
from service.worker.data.table import Limits
from tests.support.columnar import TYPES, Rows, columnar
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

SCHEMA = Schema(
    (
        Feature("size", "number", high=1e6),
        Feature("weight, kg", "number", nullable=True),
        Feature("zip", "text", categories=("10115", "20095", "a,b"), nullable=True),
        Feature("member", "boolean", nullable=True),
    ),
    ("no", "yes"),
)
NAMES = [feature.name for feature in SCHEMA.features]
KINDS = {
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}


def encoded(rows: Rows, media: str, schema: Schema = SCHEMA) -> bytes:
    """Encode rows as a client would."""
    names = [feature.name for feature in schema.features]
    if media == "csv":
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow(["" if row[name] is None else row[name] for name in names])
        return lines.getvalue().encode()
    return columnar(rows, media, schema)


def matrix_of(data: bytes, media: RowsMedia, folder: Path, limits: Limits | None = None) -> Any:
    path = folder / "rows"
    path.write_bytes(data)
    return read_matrix(path, media, SCHEMA, limits or Limits())


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "size": NUMBERS,
            "weight, kg": st.none() | NUMBERS,
            "zip": st.none() | st.sampled_from(SCHEMA.features[2].categories),
            "member": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, media=st.sampled_from(["csv", "parquet", "arrow"]))
def test_columns_give_the_matrix_that_json_gives(
    rows: Rows, media: RowsMedia, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import orjson

    body = orjson.dumps({"instances": rows})
    expected, _ = Decoder(SCHEMA, JsonLimits()).decode(body)

    found = matrix_of(encoded(rows, media), media, tmp_path_factory.mktemp("columns"))

    np.testing.assert_array_equal(found, expected)


GOOD: dict[str, Any] = {"size": 1.5, "weight, kg": 2.0, "zip": "10115", "member": True}
BAD: dict[str, tuple[str, str]] = {
    "size": ("x", "must be a number, not a text"),
    "weight, kg": ("1e400", "is out of the range"),
    "zip": ("10116", "a category that training did not see"),
    "member": ("maybe", "must be true or false, not a text"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_field_is_named_by_its_row_and_column(name: str, tmp_path: Path) -> None:
    value, message = BAD[name]
    rows = [GOOD, {**GOOD, name: value}, GOOD]

    with pytest.raises(InvalidInput) as caught:
        matrix_of(encoded(rows, "csv"), "csv", tmp_path)

    (problem,) = caught.value.problems
    assert problem.pointer == f"/instances/1/{name}"
    assert message in problem.message


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "0x10", "1_000", "1,5", "é"])
def test_values_that_are_not_plain_numbers_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        matrix_of(encoded([{**GOOD, "size": text}], "csv"), "csv", tmp_path)


@pytest.mark.parametrize("name", ["size", "weight, kg", "zip", "member"])
def test_a_column_of_another_type_is_refused(name: str, tmp_path: Path) -> None:
    fields = [
        pa.field(n, pa.binary() if n == name else TYPES[f.type])
        for n, f in zip(NAMES, SCHEMA.features, strict=True)
    ]
    table = pa.Table.from_pylist([{**GOOD, name: b"x"}], pa.schema(fields))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)

    with pytest.raises(InvalidInput) as caught:
        matrix_of(sink.getvalue(), "arrow", tmp_path)

    assert caught.value.problems[0].pointer == f"/instances/0/{name}"


def test_missing_and_unknown_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        matrix_of(b"size,zip,membr\n1,10115,true\n", "csv", tmp_path)

    told = {problem.pointer: problem.message for problem in caught.value.problems}
    assert told["/instances/0/weight, kg"] == "is missing"
    assert "did you mean 'member'" in told["/instances/0/membr"]


def test_a_missing_value_is_refused_where_training_saw_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not null"):
        matrix_of(encoded([{**GOOD, "size": None}], "parquet"), "parquet", tmp_path)


def test_many_wrong_rows_are_counted_and_the_first_are_told(tmp_path: Path) -> None:
    rows = [GOOD] * 5 + [{**GOOD, "size": "x"}] * 300

    with pytest.raises(InvalidInput, match="at least 20 problems in 300 of 305") as caught:
        matrix_of(encoded(rows, "csv"), "csv", tmp_path)

    assert caught.value.problems[0].pointer == "/instances/5/size"


@pytest.mark.parametrize("media", ["parquet", "arrow"])
@pytest.mark.parametrize("data", [b"", b"ARROW1", b"\xff\xff\xff\xff\x10\0\0\0" + b"\0" * 16])
def test_a_body_that_is_not_in_its_declared_format_is_refused(
    media: RowsMedia, data: bytes, tmp_path: Path
) -> None:
    with pytest.raises(UnusableData):
        matrix_of(data, media, tmp_path)


@pytest.mark.parametrize("media", ["csv", "parquet", "arrow"])
def test_more_rows_than_the_limit_are_refused(media: RowsMedia, tmp_path: Path) -> None:
    with pytest.raises(BodyTooLarge):
        matrix_of(encoded([GOOD] * 4, media), media, tmp_path, Limits(rows=3))


PLAIN = st.sampled_from(["1", "-2.5", "3e-7", " 4 ", "", "nan", "x", "1e400", "007", '"5"', "é"])


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=6))
def test_numbers_read_at_once_are_those_of_the_closer_look(rows: list[tuple[str, str]]) -> None:
    data = "\n".join(["a,b", *(",".join(row) for row in rows)]).encode() + b"\n"

    at_once = read_numbers_at_once(data, ["a"])

    if at_once is not None:
        fields = read_fields(data)
        columns = dict(zip(fields.names, fields.columns, strict=True))
        assert at_once["b"].equals(columns["b"])
        texts = columns["a"].to_pylist()
        assert at_once["a"].to_pylist() == [None if t is None else float(t) for t in texts]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("bulk")
    limits = {"max_bulk_rows": 1000, "max_upload_bytes": 100_000}
    with serve(settings_for(folder / "data", **limits), FakeRegistry(folder)) as client:
        assert ask(client, b"a\n1\n").status_code == 503
        client.train(dataset="iris", model_type="RandomForestClassifier")
        yield client


def ask(
    client: Client, data: bytes, media: str = "csv", accept: str = "", query: str = ""
) -> httpx.Response:
    headers = {"content-type": KINDS[media], "accept": accept}
    return client.post(f"/predict{query}", content=data, headers=headers)


def flowers(client: Client, count: int = 50) -> tuple[Rows, dict[str, Any], Schema]:
    features = client.get("/schema").json()["features"]
    schema = Schema(tuple(Feature(f["name"], "number") for f in features), ("a", "b"))
    random = np.random.default_rng(1)
    names = [feature.name for feature in schema.features]
    rows = [dict(zip(names, random.uniform(0, 8, 4).tolist(), strict=True)) for _ in range(count)]
    answer = client.predict({"instances": rows, "probabilities": True})
    return rows, answer.json(), schema


@pytest.mark.parametrize("media", KINDS)
def test_a_file_is_answered_as_json_is(client: Client, media: str) -> None:
    rows, expected, schema = flowers(client)

    answer = ask(client, encoded(rows, media, schema), media, query="?probabilities=true")

    assert answer.json() == expected
    assert answer.headers["x-model-name"] == "iris"


def test_the_reply_is_csv_where_that_is_accepted(client: Client) -> None:
    rows, expected, schema = flowers(client)

    plain = ask(client, encoded(rows, "csv", schema), accept="text/csv, */*;q=0.1")
    full = ask(client, encoded(rows, "csv", schema), accept="text/csv", query="?probabilities=true")

    assert plain.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.reader(io.StringIO(plain.text)))
    assert lines == [["prediction"], *([label] for label in expected["predictions"])]
    header, *lines = list(csv.reader(io.StringIO(full.text)))
    assert header == ["prediction", *(f"probability of {c}" for c in expected["classes"])]
    assert [[float(cell) for cell in line[1:]] for line in lines] == expected["probabilities"]


def test_the_reply_is_an_arrow_stream_where_that_is_accepted(client: Client) -> None:
    rows, expected, schema = flowers(client)

    answer = ask(
        client, encoded(rows, "arrow", schema), "arrow", KINDS["arrow"], "?probabilities=true"
    )

    table = pa.ipc.open_stream(answer.content).read_all()
    assert table["prediction"].to_pylist() == expected["predictions"]
    classes = expected["classes"]
    columns = [table[f"probability of {label}"].to_pylist() for label in classes]
    assert [list(row) for row in zip(*columns, strict=True)] == expected["probabilities"]


def test_a_wrong_csv_is_answered_with_one_that_works(client: Client) -> None:
    wrong = ask(client, b"sepal length (cm)\n1\n")

    assert wrong.status_code == 400
    assert wrong.json()["type"] == "/problems/invalid-input"
    assert ask(client, wrong.json()["example"].encode()).status_code == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [("?probabilities=yes", "true or false"), ("?probs=true", "not a parameter")],
)
def test_a_wrong_parameter_is_reported(client: Client, query: str, said: str) -> None:
    answer = ask(client, b"a\n1\n", query=query)

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-request")
    assert said in answer.json()["detail"]


def test_a_file_over_a_limit_is_413(client: Client) -> None:
    rows, _, schema = flowers(client, 1)

    assert ask(client, encoded(rows * 1001, "csv", schema)).status_code == 413
    assert ask(client, b"x" * 100_001).status_code == 413


def test_a_file_is_counted_with_its_rows(client: Client) -> None:
    rows, _, schema = flowers(client, 7)

    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        (line,) = [one for one in lines if one.startswith("service_instances_total")]
        return float(line.rsplit(" ", 1)[1])

    before = counted()
    assert ask(client, encoded(rows, "csv", schema)).status_code == 200
    assert counted() == before + 7


def test_a_plain_file_with_a_quoted_header_is_read_at_once() -> None:
    at_once = read_numbers_at_once(b'"a","b, c"\n1,x\n2,y\n', ["a"])

    assert at_once is not None
    assert list(at_once) == ["a", "b, c"]
