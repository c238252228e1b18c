"""`POST /invocations`: MLflow's forms of rows, and the strictness of this service."""

import io
import json
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.server import Client

ROW = [5.1, 3.5, 1.4, 0.2]
NAMES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
RECORD = dict(zip(NAMES, ROW, strict=True))
COLUMNS = {name: [value] for name, value in RECORD.items()}


def invoke(client: Client, body: object, kind: str = "application/json") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/invocations", content=content, headers={"content-type": kind})


FORMS: dict[str, dict[str, Any]] = {
    "split": {"dataframe_split": {"columns": NAMES, "data": [ROW]}},
    "split in another order": {
        "dataframe_split": {"columns": NAMES[::-1], "data": [ROW[::-1]], "index": [7]}
    },
    "split without names": {"dataframe_split": {"data": [ROW]}},
    "split with another column": {
        "dataframe_split": {"columns": [*NAMES, "more"], "data": [[*ROW, "x"]]}
    },
    "records": {"dataframe_records": [RECORD]},
    "records with another key": {"dataframe_records": [{**RECORD, "more": {"a": 1}}]},
    "instances": {"instances": [RECORD]},
    "instances as arrays": {"instances": [ROW]},
    "inputs as columns": {"inputs": COLUMNS},
    "inputs as values": {"inputs": RECORD},
    "inputs as records": {"inputs": [RECORD]},
    "inputs as arrays": {"inputs": [ROW]},
    "numbers that are texts": {"inputs": [{**RECORD, NAMES[0]: " 5.1e0 "}]},
    "other keys": {"inputs": [RECORD], "whatever": 1, "params": {"unknown": 2}},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_labels_and_probabilities(client: Client, form: str) -> None:
    body = FORMS[form]
    asked = {"instances": [RECORD], "probabilities": True}
    own = client.predict(asked).json()

    assert invoke(client, body).json() == {"predictions": own["predictions"]}
    sure = {**body, "params": {"predict_fn": "predict_proba"}}
    assert invoke(client, sure).json() == {"predictions": own["probabilities"]}


def test_files_may_have_more_columns_than_the_model(client: Client) -> None:
    lines = [",".join(f'"{name}"' for name in [*NAMES, "more"]), "5.1,3.5,1.4,0.2,x", ""]
    table = io.BytesIO()
    pq.write_table(pa.table({**COLUMNS, "more": ["x"]}), table)

    for kind in ("text/csv", "text/csv; charset=utf-8"):
        reply = invoke(client, "\n".join(lines).encode(), kind)
        assert reply.json() == {"predictions": ["setosa"]}
    reply = invoke(client, table.getvalue(), "application/vnd.apache.parquet")
    assert reply.json() == {"predictions": ["setosa"]}
    assert reply.headers["x-model-version"] == "1"


WRONG: dict[str, tuple[object, str]] = {
    "empty": (b"", "is empty"),
    "no JSON": (b"hello", "not JSON"),
    "NaN": (b'{"inputs": [[NaN, 1, 2, 3]]}', "NaN"),
    "a list": ([], "must be an object"),
    "no form": ({"data": [ROW]}, "exactly one of dataframe_split"),
    "a form misspelt": ({"dataframe_spilt": {}}, "did you mean 'dataframe_split'?"),
    "two forms": ({"inputs": [ROW], "instances": [ROW]}, "has 2"),
    "a key twice": (b'{"inputs": [[1,2,3,4]], "inputs": []}', "is there twice"),
    "no rows": ({"inputs": []}, "with at least one"),
    "no data": ({"dataframe_split": {"columns": NAMES}}, "data must be a list"),
    "unknown key of split": ({"dataframe_split": {"data": [ROW], "colums": NAMES}}, "'colums'"),
    "a column twice": ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "twice"),
    "a short row": ({"dataframe_split": {"columns": NAMES, "data": [ROW, [1]]}}, "has 1 values"),
    "names that are none": ({"dataframe_split": {"columns": [1], "data": [[1]]}}, "list of names"),
    "columns that differ": ({"inputs": {NAMES[0]: [1], NAMES[1]: [1, 2]}}, "same length"),
    "scalars": ({"instances": [1, 2]}, "list of objects"),
    "records and arrays": ({"instances": [ROW, RECORD]}, "list of objects"),
    "arrays as records": ({"dataframe_records": [ROW]}, "list of objects"),
    "a missing column": ({"inputs": [{NAMES[0]: 1}]}, "'sepal width (cm)' is missing"),
    "a misspelt column": (
        {"inputs": [{**dict.fromkeys(NAMES[:3], 1), "petal width": 1}]},
        "'petal width (cm)' is missing",
    ),
    "a boolean": ({"inputs": [{**RECORD, NAMES[0]: True}]}, "not a boolean"),
    "null": ({"inputs": [{**RECORD, NAMES[0]: None}]}, "not null"),
    "a key that only one record has": (
        {"inputs": [RECORD, dict.fromkeys(NAMES[:3], 1)]},
        "not null",
    ),
    "a text": ({"inputs": [{**RECORD, NAMES[0]: "five"}]}, "not a text"),
    "a text of infinity": ({"inputs": [{**RECORD, NAMES[0]: "inf"}]}, "not a text"),
    "an object": ({"inputs": [{**RECORD, NAMES[0]: {"a": 1}}]}, "not an object"),
    "too narrow": ({"inputs": [[1, 2]]}, "has 2 values for 4 features"),
    "a text that is almost a number": (
        {"inputs": [{**RECORD, NAMES[0]: "1" * 60_000 + "x"}]},
        "not a text",
    ),
    "records that share no key": (
        {"dataframe_records": [{f"{row}-{key}": 1 for key in range(50)} for row in range(9000)]},
        "is missing",
    ),
    "params": ({"inputs": [ROW], "params": 1}, "/params must be an object"),
    "predict_fn": ({"inputs": [ROW], "params": {"predict_fn": "score"}}, "predict_fn must be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_400_with_a_message_and_an_example_that_works(
    client: Client, case: str
) -> None:
    body, message = WRONG[case]

    refused = invoke(client, body)

    assert refused.status_code == 400, refused.text
    assert refused.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert message in refused.json()["message"]
    assert invoke(client, refused.json()["example"]).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/json; format=pandas-split",
        "text/csv; charset=latin-1",
        "application/json; charset=utf-16",
        "application/json; charset*=utf-8''utf-8",
        "multipart/form-data; boundary=x",
    ],
)
def test_another_content_type_or_parameter_is_415(client: Client, kind: str) -> None:
    refused = invoke(client, b"{}", kind)

    assert refused.status_code == 415
    assert refused.json()["error_code"] == "BAD_REQUEST"


def test_too_many_rows_are_413(client: Client) -> None:
    refused = invoke(client, {"inputs": [ROW] * 10_001})

    assert refused.status_code == 413
    assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"


def test_too_many_lists_and_objects_are_413_before_they_are_made(client: Client) -> None:
    frame: object = {"dataframe_split": {"data": [[]] * 100_001}}

    refused = invoke(client, frame)

    assert refused.status_code == 413
    assert "lists and objects" in refused.json()["message"]


def test_a_path_that_is_almost_the_route_is_404(client: Client) -> None:
    refused = client.post("/invocations%0A", json={"inputs": [ROW]})

    assert refused.status_code == 404
    assert refused.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
