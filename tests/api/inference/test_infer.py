"""`POST /v2/models/{name}/infer`: tensors of every kind in, tensors out, and what is refused."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client

ROW = [5.1, 3.5, 1.4, 0.2]
WHOLE = {"name": "x", "shape": [1, 4], "datatype": "FP64"}
PATH = "/v2/models/iris/infer"

MIXED: dict[str, tuple[str, list[Any]]] = {
    "age": ("FP64", [34.5, None]),
    "city": ("BYTES", ["Rio", None]),
    "vip": ("BOOL", [True, False]),
}


@pytest.fixture(scope="module")
def mixed(shared_client: Client, registry: FakeRegistry) -> Iterator[str]:
    """A model of a number and a text that may be missing, and a boolean."""
    rows = [[34.5, "Rio", True, 1], [51, None, False, 0], [None, "Lima", True, 1]] * 20
    shared_client.train(
        name="mixed",
        model_type="RandomForestClassifier",
        params={"n_estimators": 3},
        dataset={"columns": ["age", "city", "vip", "churned"], "rows": rows},
        target="churned",
        use=False,
    )
    yield "mixed"
    for key in [key for key in registry.versions if key[0] == "mixed"]:
        del registry.versions[key]


def infer(client: Client, body: object, path: str = PATH) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, content=content)  # without a type, as tritonclient sends it


def binary(client: Client, head: object, tail: bytes, path: str = PATH) -> httpx.Response:
    text = json.dumps(head).encode()
    headers = {
        "inference-header-content-length": str(len(text)),
        "content-type": "application/octet-stream",
    }
    return client.post(path, content=text + tail, headers=headers)


def unpacked(reply: httpx.Response) -> tuple[dict[str, Any], bytes]:
    size = int(reply.headers["inference-header-content-length"])
    return json.loads(reply.content[:size]), reply.content[size:]


def test_data_may_be_flat_or_nested_and_of_any_number(client: Client) -> None:
    wanted = {
        "model_name": "iris",
        "model_version": "1",
        "outputs": [
            {"name": "predict", "shape": [2, 1], "datatype": "BYTES", "data": ["setosa"] * 2}
        ],
    }
    for datatype in ("FP64", "FP32", "FP16"):
        for data in (ROW + ROW, [ROW, ROW]):
            tensor = {"name": "any", "shape": [2, 4], "datatype": datatype, "data": data}
            assert infer(client, {"inputs": [tensor]}).json() == wanted
    for datatype in ("INT8", "INT64", "UINT8", "UINT64"):
        tensor = {"name": "x", "shape": [1, 4], "datatype": datatype, "data": [5, 3.0, 1, 0]}
        assert infer(client, {"inputs": [tensor]}).status_code == 200


def test_columns_by_name_may_come_in_any_order(client: Client) -> None:
    names = [feature["name"] for feature in client.get("/schema").json()["features"]]
    columns = [
        {"name": name, "shape": shape, "datatype": "FP64", "data": [value, value]}
        for name, value, shape in zip(names, ROW, ([2], [2, 1], [2], [2, 1]), strict=True)
    ]

    for inputs in (columns, columns[::-1]):
        for more in ({}, {"parameters": {"content_type": "pd"}}):
            answered = infer(client, {"inputs": inputs, **more})
            assert answered.json()["outputs"][0]["data"] == ["setosa", "setosa"]


def test_texts_booleans_and_missing_values_are_answered_as_by_predict(
    client: Client, mixed: str
) -> None:
    inputs = [
        {"name": name, "shape": [2, 1], "datatype": datatype, "data": data}
        for name, (datatype, data) in MIXED.items()
    ]
    instances = [{name: data[row] for name, (_, data) in MIXED.items()} for row in range(2)]
    outputs = [{"name": "predict"}, {"name": "predict_proba"}]

    answered = infer(client, {"inputs": inputs, "outputs": outputs}, f"/v2/models/{mixed}/infer")
    asked = {"instances": instances, "probabilities": True}
    own = client.post(f"/models/{mixed}/versions/1/predict", json=asked).json()

    labels, chances = answered.json()["outputs"]
    assert labels["datatype"] == "INT64"
    assert labels["data"] == own["predictions"]
    assert chances["shape"] == [2, 2]
    assert chances["data"] == [chance for row in own["probabilities"] for chance in row]


def test_binary_tensors_in_and_out_hold_the_same_as_json(client: Client, mixed: str) -> None:
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"Rio", b"Lima"))
    tails = [np.array([34.5, np.nan]).tobytes(), texts, bytes([1, 0])]
    inputs = [
        {
            "name": name,
            "shape": [2, 1],
            "datatype": MIXED[name][0],
            "parameters": {"binary_data_size": len(tail)},
        }
        for name, tail in zip(MIXED, tails, strict=True)
    ]
    outputs = [{"name": "predict_proba"}, {"name": "predict", "parameters": {"binary_data": False}}]
    head = {"inputs": inputs, "outputs": outputs, "parameters": {"binary_data_output": True}}

    answered = binary(client, head, b"".join(tails), f"/v2/models/{mixed}/infer")
    body, tail = unpacked(answered)
    instances = [
        {"age": 34.5, "city": "Rio", "vip": True},
        {"age": None, "city": "Lima", "vip": False},
    ]
    asked = {"instances": instances, "probabilities": True}
    own = client.post(f"/models/{mixed}/versions/1/predict", json=asked).json()

    assert answered.headers["content-type"] == "application/octet-stream"
    assert body["outputs"][0]["parameters"] == {"binary_data_size": len(tail)}
    assert np.frombuffer(tail, "<f8").reshape(2, 2).tolist() == own["probabilities"]
    assert body["outputs"][1]["data"] == own["predictions"]


def test_a_body_that_is_one_row_alone_is_answered_in_binary(client: Client) -> None:
    headers = {"inference-header-content-length": "0"}
    answered = client.post(PATH, content=np.array(ROW).tobytes(), headers=headers)

    body, tail = unpacked(answered)
    assert [output["name"] for output in body["outputs"]] == ["predict", "predict_proba"]
    assert tail.startswith(b"\x06\x00\x00\x00setosa")


def test_an_id_comes_back_and_none_is_made_up(client: Client) -> None:
    tensor = {**WHOLE, "data": ROW}

    assert infer(client, {"inputs": [tensor], "id": 'a":"b'}).json()["id"] == 'a":"b'
    assert "id" not in infer(client, {"inputs": [tensor]}).json()
    assert "id" not in infer(client, {"inputs": [tensor], "id": None}).json()


def _with_data(data: bytes, datatype: bytes = b"FP64") -> bytes:
    """Return a request whose only tensor has this data, JSON or not."""
    about = b'{"name":"x","shape":[1,4],"datatype":"%b"' % datatype
    return b'{"inputs":[%b,"data":%b}]}' % (about, data)


TENSOR = {**WHOLE, "data": ROW}
WRONG: dict[str, tuple[object, str]] = {
    "empty body": (b"", "is empty"),
    "no JSON": (b"hello", "not JSON"),
    "cut off": (b'{"inputs":[{"name":"x"', "not JSON"),
    "NaN": (b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP64","data":[NaN]}]}', "NaN"),
    "no UTF-8 in numbers": (_with_data(b'["\xff"]'), "not UTF-8"),
    "no UTF-8 in texts": (_with_data(b'["\xff"]', b"BYTES"), "not UTF-8"),
    "half a surrogate pair": (_with_data(b'["\\ud800"]', b"BYTES"), "half a surrogate pair"),
    "deep": (_with_data(b"[" * 33 + b"]" * 33), "nests deeper than 32"),
    "too deep for any parser": (_with_data(b"[" * 100_000 + b"]" * 100_000), "nests deeper than"),
    "deep and without an end": (_with_data(b"[" * 100_000), "nests deeper than 32"),
    "a list": ([], "Expected 'object'"),
    "no inputs": ({}, "'inputs' is missing"),
    "empty inputs": ({"inputs": []}, "has no inputs"),
    "unknown key": ({"inputs": [TENSOR], "ouputs": []}, "'ouputs' is no key here"),
    "key twice": (b'{"inputs": [], "inputs": []}', "is there twice"),
    "no name": (
        {"inputs": [{k: v for k, v in TENSOR.items() if k != "name"}]},
        "'name' is missing",
    ),
    "no data": ({"inputs": [WHOLE]}, "has no data"),
    "datatype": ({"inputs": [{**TENSOR, "datatype": "FP128"}]}, "'FP128'; send one of BOOL"),
    "BF16": ({"inputs": [{**TENSOR, "datatype": "BF16"}]}, "'BF16'; send one of"),
    "product": ({"inputs": [{**TENSOR, "shape": [2, 4]}]}, "has 4 values for the shape [2, 4]"),
    "width": ({"inputs": [{**TENSOR, "shape": [2, 2]}]}, "has rows of 2 values"),
    "negative": ({"inputs": [{**TENSOR, "shape": [-1, 4]}]}, "inputs[0].shape[0]: expected"),
    "three dimensions": ({"inputs": [{**TENSOR, "shape": [1, 1, 4]}]}, "of the shape [1, 1, 4]"),
    "no dimensions": ({"inputs": [{**TENSOR, "shape": [], "data": [1]}]}, "of the shape []"),
    "nested without dimensions": (
        {"inputs": [{**TENSOR, "shape": [], "data": [[{"": None}, False]]}]},
        "nests deeper than its shape []",
    ),
    "17 dimensions": ({"inputs": [{**TENSOR, "shape": [1] * 17}]}, "length <= 16"),
    "100,000 dimensions": ({"inputs": [{**TENSOR, "shape": [2**31] * 100_000}]}, "length <= 16"),
    "a product of 150 digits": (
        {"inputs": [{**TENSOR, "shape": [2**31] * 16}]},
        "has 4 values for the shape",
    ),
    "no rows": ({"inputs": [{**TENSOR, "shape": [0, 4], "data": []}]}, "has no rows"),
    "too nested": ({"inputs": [{**TENSOR, "data": [[[1]], [[2]], [[3]], [[4]]]}]}, "nest"),
    "ragged": ({"inputs": [{**TENSOR, "shape": [2, 2], "data": [[1, 2], [3]]}]}, "is nested"),
    "text in numbers": ({"inputs": [{**TENSOR, "data": ["a", 1, 2, 3]}]}, "has a text, which"),
    "boolean in numbers": ({"inputs": [{**TENSOR, "data": [True, 1, 2, 3]}]}, "has a boolean"),
    "null": ({"inputs": [{**TENSOR, "data": [None, 1, 2, 3]}]}, "must be a number, not null"),
    "5.9 as INT64": (
        {"inputs": [{**TENSOR, "datatype": "INT64", "data": [5.9, 1, 2, 3]}]},
        "has 5.9, which is no INT64",
    ),
    "300 as UINT8": (
        {"inputs": [{**TENSOR, "datatype": "UINT8", "data": [300, 1, 2, 3]}]},
        "has a number that UINT8 cannot hold",
    ),
    "300 as UINT8 beside null": (
        {"inputs": [{**TENSOR, "datatype": "UINT8", "data": [300, None, 2, 3]}]},
        "has a number that UINT8 cannot hold",
    ),
    "400 digits beside null": (
        {"inputs": [{**TENSOR, "datatype": "INT64", "data": [10**400, None, 2, 3]}]},
        "out of the range",
    ),
    "1e300 as FP32": (
        {"inputs": [{**TENSOR, "datatype": "FP32", "data": [1e300, 1, 2, 3]}]},
        "has a number that FP32 cannot hold",
    ),
    "BOOL tensor": (
        {"inputs": [{**TENSOR, "datatype": "BOOL", "data": [True] * 4}]},
        "must be a number, not a boolean",
    ),
    "BYTES tensor": (
        {"inputs": [{**TENSOR, "datatype": "BYTES", "data": ["1"] * 4}]},
        "must be a number, not a text",
    ),
    "name twice": ({"inputs": [TENSOR, TENSOR]}, "is there twice"),
    "unknown output": (
        {"inputs": [TENSOR], "outputs": [{"name": "x"}]},
        "there are 'predict' and 'predict_proba'",
    ),
    "output twice": ({"inputs": [TENSOR], "outputs": [{"name": "predict"}] * 2}, "is there twice"),
    "classification": (
        {"inputs": [TENSOR], "outputs": [{"name": "predict", "parameters": {"classification": 3}}]},
        "cannot have classification",
    ),
    "shared memory": (
        {"inputs": [{**WHOLE, "parameters": {"shared_memory_region": "a"}}]},
        "is in shared memory",
    ),
    "base64": (
        {"inputs": [{**TENSOR, "parameters": {"content_type": "base64"}}]},
        "is in base64",
    ),
    "nested parameter": (
        {"inputs": [TENSOR], "parameters": {"a": {"b": 1}}},
        "parameters[]: expected",
    ),
    "unknown columns": (
        {
            "inputs": [
                {"name": name, "shape": [1], "datatype": "FP64", "data": [1]} for name in "abcd"
            ]
        },
        "is missing",
    ),
    "rows that differ": (
        {
            "inputs": [
                {"name": "a", "shape": [1], "datatype": "FP64", "data": [1]},
                {"name": "b", "shape": [2], "datatype": "FP64", "data": [1, 2]},
            ]
        },
        "different numbers of rows",
    ),
    "10,000 inputs": (
        {
            "inputs": [
                {"name": str(i), "shape": [1], "datatype": "FP64", "data": [1]}
                for i in range(10_000)
            ]
        },
        "is missing",
    ),
    "depth": (b"[" * 40 + b"]" * 40, "nests deeper"),
    "huge shape": ({"inputs": [{**TENSOR, "shape": [2**31, 2**31]}]}, "has 4 values"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_400_with_a_sentence_and_a_request_that_works(
    client: Client, case: str
) -> None:
    body, sentence = WRONG[case]

    refused = infer(client, body)

    assert refused.status_code == 400, refused.text
    assert set(refused.json()) == {"error"}
    error = refused.json()["error"]
    assert sentence in error
    example = error.partition(" A request that works: ")[2]
    assert infer(client, example.encode()).status_code == 200


WRONG_BINARY: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "too short": ({"binary_data_size": 24}, b"\0" * 24, "has 24 bytes; FP64 of the shape [1, 4]"),
    "unaligned": ({"binary_data_size": 31}, b"\0" * 31, "has 31 bytes"),
    "missing": ({"binary_data_size": 32}, b"\0" * 31, "31 bytes are left"),
    "negative": ({"binary_data_size": -1}, b"", "has a binary_data_size of -1"),
    "no number": ({"binary_data_size": "32"}, b"\0" * 32, "has a binary_data_size of 32"),
    "boolean": ({"binary_data_size": True}, b"\0", "has a binary_data_size of True"),
    "more than inputs": ({"binary_data_size": 32}, b"\0" * 33, "1 bytes behind the JSON"),
    "no size": ({}, b"\0" * 32, "has no data"),
    "NaN": ({"binary_data_size": 32}, np.array([np.nan, 1, 2, 3]).tobytes(), "not null"),
    "infinity": ({"binary_data_size": 32}, np.array([np.inf, 1, 2, 3]).tobytes(), "out of the"),
}


@pytest.mark.parametrize("case", WRONG_BINARY)
def test_a_wrong_binary_tensor_is_400(client: Client, case: str) -> None:
    parameters, tail, sentence = WRONG_BINARY[case]

    refused = binary(client, {"inputs": [{**WHOLE, "parameters": parameters}]}, tail)

    assert refused.status_code == 400, refused.text
    assert sentence in refused.json()["error"]


@pytest.mark.parametrize(
    ("datatype", "tail", "sentence"),
    [
        ("BYTES", b"\x05\0\0\0ab", "is cut off within a text"),
        ("BYTES", b"\x05\0", "is cut off within a text"),
        ("BYTES", b"\xff\xff\xff\xffab", "is cut off within a text"),
        ("BYTES", b"\x02\0\0\0\xff\xff", "not UTF-8"),
        ("BYTES", b"\x01\0\0\0a\x01\0\0\0b", "has 2 texts for the shape [1]"),
        ("BOOL", b"\x02", "other than 0 and 1"),
    ],
)
def test_wrong_texts_and_booleans_in_binary_are_400(
    client: Client, datatype: str, tail: bytes, sentence: str
) -> None:
    tensor = {
        "name": "x",
        "shape": [1],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(tail)},
    }

    refused = binary(client, {"inputs": [tensor]}, tail)

    assert refused.status_code == 400
    assert sentence in refused.json()["error"]


@pytest.mark.parametrize("dimensions", [16, 500])
def test_a_shape_whose_product_is_huge_is_400(client: Client, dimensions: int) -> None:
    tensor = {**WHOLE, "shape": [2**31] * dimensions, "parameters": {"binary_data_size": 32}}

    refused = binary(client, {"inputs": [tensor]}, b"\0" * 32)

    assert refused.status_code == 400
    assert "shape" in refused.json()["error"]


@pytest.mark.parametrize("length", ["-1", "abc", "99999", "1e3", "9" * 30, "٣"])
def test_a_header_length_that_lies_is_400(client: Client, length: str) -> None:
    body = json.dumps({"inputs": [TENSOR]}).encode()
    headers = {b"inference-header-content-length": length.encode()}

    assert client.post(PATH, content=body, headers=headers).status_code == 400


def test_too_many_rows_are_413(client: Client) -> None:
    tensor = {"name": "x", "shape": [10_001, 4], "datatype": "FP64", "data": [0.5] * 40_004}

    refused = infer(client, {"inputs": [tensor]})

    assert refused.status_code == 413
    assert "10,000 rows" in refused.json()["error"]


@pytest.mark.parametrize("part", [b"[]", b"{}", b"[0]"])
def test_too_many_lists_and_objects_are_413_before_they_are_made(
    client: Client, part: bytes
) -> None:
    refused = infer(client, _with_data(b"[%b]" % b",".join([part] * 100_001)))

    assert refused.status_code == 413
    assert "lists and objects" in refused.json()["error"]


def test_probabilities_that_a_classifier_does_not_have_are_400_and_not_listed(
    client: Client, registry: FakeRegistry
) -> None:
    client.train(name="bare", model_type="RidgeClassifier", dataset="iris", use=False)
    body = {"inputs": [TENSOR], "outputs": [{"name": "predict_proba"}]}

    refused = infer(client, body, "/v2/models/bare/infer")

    assert refused.status_code == 400
    assert "has no probabilities" in refused.json()["error"]
    outputs = client.get("/v2/models/bare").json()["outputs"]
    assert [output["name"] for output in outputs] == ["predict"]
    del registry.versions["bare", 1]


def test_requests_are_counted_by_route_and_refusals_by_reason(client: Client) -> None:
    def count(status: int) -> float:
        route = 'route="/v2/models/{name}/infer"'
        wanted = f'service_requests_total{{method="POST",{route},status="{status}"}} '
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))

    before = count(200), count(400)
    infer(client, {"inputs": [TENSOR]})
    infer(client, {})

    assert (count(200), count(400)) == (before[0] + 1, before[1] + 1)


def test_the_example_of_a_wide_model_is_left_out(client: Client, registry: FakeRegistry) -> None:
    columns = [f"a rather long name of the column number {index}" for index in range(400)]
    rows = [[*[float(row + index) for index in range(400)], row % 2] for row in range(20)]
    client.train(
        name="wide",
        model_type="GaussianNB",
        dataset={"columns": [*columns, "label"], "rows": rows},
        target="label",
        use=False,
    )

    refused = infer(client, {"inputs": []}, "/v2/models/wide/infer")

    assert refused.status_code == 400
    assert len(refused.content) < 4096
    del registry.versions["wide", 1]
