"""What the suite in `conformance/` asserts of replies: right ones pass, wrong ones fail."""

import json
import math
import struct
from typing import Any

import httpx
import pytest

from conformance.target import HEADER_LENGTH, Model, agree, answered, is_binary, refused
from conformance.tensors import Tensor, decode, encode, flat

METADATA = {
    "name": "m",
    "inputs": [
        {"name": "rows", "datatype": "FP64", "shape": [-1, 4]},
        {"name": "text", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "flag", "datatype": "BOOL", "shape": [2, -1]},
    ],
    "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1]}],
}
MODEL = Model("m", METADATA, (), {})
OUTPUT: dict[str, Any] = {"name": "predict", "datatype": "INT64", "shape": [2], "data": [1, 2]}


def reply(*outputs: dict[str, Any], **changes: object) -> httpx.Response:
    body = {"model_name": "m", "outputs": outputs or [OUTPUT], **changes}
    return httpx.Response(200, content=json.dumps(body).encode())


def binary_reply(size: int, tail: bytes) -> httpx.Response:
    output = {key: value for key, value in OUTPUT.items() if key != "data"}
    output["parameters"] = {"binary_data_size": size}
    head = json.dumps({"model_name": "m", "outputs": [output]}).encode()
    return httpx.Response(200, content=head + tail, headers={HEADER_LENGTH: str(len(head))})


def test_a_right_reply_is_read() -> None:
    assert answered(reply(), MODEL) == {"predict": ("INT64", (2,), (1, 2))}


def test_a_right_binary_reply_is_read() -> None:
    response = binary_reply(16, struct.pack("<qq", 1, 2))

    assert answered(response, MODEL) == answered(reply(), MODEL)
    assert is_binary(response) == {"predict": True}


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(500, json={"error": "no"}),
        reply(model_name="other"),
        reply(model_version=3),
        reply({**OUTPUT, "shape": [3]}),
        reply({**OUTPUT, "datatype": "int64"}),
        reply({**OUTPUT, "data": [1, "2"]}),
        reply({**OUTPUT, "data": [1, True]}),
        reply({**OUTPUT, "datatype": "BYTES"}),
        reply({**OUTPUT, "datatype": "BOOL"}),
        reply({**OUTPUT, "data": [1, math.nan]}),
        reply({**OUTPUT, "parameters": {"a": [1]}}),
        reply({**OUTPUT, "parameters": {"binary_data_size": 16}}),
        reply(OUTPUT, OUTPUT),
        binary_reply(16, struct.pack("<q", 1)),
        binary_reply(8, struct.pack("<q", 1)),
        binary_reply(9, b"123456789"),
        binary_reply(16, struct.pack("<qqq", 1, 2, 3)),
    ],
)
def test_a_wrong_reply_fails(response: httpx.Response) -> None:
    with pytest.raises(AssertionError):
        answered(response, MODEL)


@pytest.mark.parametrize(
    "elements",
    [
        (1.0, "a"),
        (1.0, "a", True, 2),
        (1.1, "a", True),
        (1.0, "b", True),
        (1.0, "a", False),
        ("1.0", "a", True),
    ],
)
def test_elements_agree_where_they_are_equal_or_near(elements: tuple[Any, ...]) -> None:
    agree((1.0 + 1e-9, "a", True), (1.0, "a", True))
    with pytest.raises(AssertionError):
        agree(elements, (1.0, "a", True))


def test_a_refusal_has_a_message() -> None:
    assert refused(httpx.Response(400, json={"error": "why"})) == "why"


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, json={"error": "why"}),
        httpx.Response(500, json={"error": "why"}),
        httpx.Response(401, json={"error": "why"}),
        httpx.Response(422, json={"detail": "why"}),
        httpx.Response(400, json={"error": ""}),
        httpx.Response(400, json={"error": {"message": "why"}}),
        httpx.Response(400, json=["why"]),
    ],
)
def test_what_is_no_refusal_fails(response: httpx.Response) -> None:
    with pytest.raises(AssertionError):
        refused(response)


def test_a_refusal_may_be_narrowed() -> None:
    with pytest.raises(AssertionError):
        refused(httpx.Response(400, json={"error": "why"}), 404)


def test_inputs_are_made_from_the_metadata() -> None:
    inputs = MODEL.inputs(3)

    assert [tensor.shape for tensor in inputs] == [[3, 4], [3, 1], [2, 3]]
    assert [len(tensor.data) for tensor in inputs] == [12, 3, 6]
    assert inputs[1].data == ["a", "a", "a"]


def test_an_example_is_repeated() -> None:
    example = Tensor("x", "FP64", [2, 2], [1.0, 2.0, 3.0, 4.0])
    model = Model("m", METADATA, [example], {"content_type": "pd"})

    assert model.inputs(3)[0].data == [1.0, 2.0, 3.0, 4.0, 1.0, 2.0]
    assert model.inputs(1)[0].shape == [1, 2]
    assert model.request()["parameters"] == {"content_type": "pd"}


@pytest.mark.parametrize(
    ("datatype", "elements", "content"),
    [
        ("FP64", [1.0], b"\0\0\0\0\0\0\xf0?"),
        ("INT32", [1, -1], b"\1\0\0\0\xff\xff\xff\xff"),
        ("BOOL", [True, False], b"\1\0"),
        ("BYTES", ["ab", "", "ü"], b"\2\0\0\0ab\0\0\0\0\2\0\0\0\xc3\xbc"),
        ("FP16", [1.0], b"\0<"),
    ],
)
def test_elements_are_written_as_the_extension_says(
    datatype: str, elements: list[Any], content: bytes
) -> None:
    assert encode(datatype, elements) == content
    assert decode(datatype, content) == elements


@pytest.mark.parametrize(
    ("datatype", "content"), [("FP64", b"1234567"), ("BYTES", b"\1\0"), ("BYTES", b"\5\0\0\0ab")]
)
def test_bytes_that_are_no_elements_fail(datatype: str, content: bytes) -> None:
    with pytest.raises(AssertionError):
        decode(datatype, content)


def test_data_is_nested_by_shape() -> None:
    tensor = Tensor("x", "INT8", [2, 1, 2], [1, 2, 3, 4])

    assert tensor.nested() == [[[1, 2]], [[3, 4]]]
    assert flat(tensor.nested()) == tensor.data
