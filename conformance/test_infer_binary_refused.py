"""The binary tensor extension with lengths that lie: refused, never answered or waited for."""

import json
import struct
from typing import Any

import pytest

from conformance.target import Infer, Model, answered, refused
from conformance.test_infer_binary import parts

pytestmark = pytest.mark.usefixtures("binary")


@pytest.fixture(autouse=True)
def unharmed(infer: Infer, model: Model) -> Any:
    """Ask the model something right after each test."""
    yield
    assert answered(infer.json(model.request()), model)


def _first(model: Model, **parameters: object) -> tuple[dict[str, Any], bytes]:
    """Return a binary request whose first input's parameters are changed."""
    described, tail = parts(model.inputs())
    described[0] = {**described[0], "parameters": {**described[0]["parameters"], **parameters}}
    return model.request(described), tail


@pytest.mark.parametrize(
    "length", ["1000000", "99999999999999999999", "-1", "x", "1.5", "0x10", "+5"]
)
def test_a_header_length_that_cannot_be_is_refused(infer: Infer, model: Model, length: str) -> None:
    described, tail = parts(model.inputs())

    refused(infer.binary(model.request(described), tail, header_length=length))


@pytest.mark.parametrize("change", [-5, -1, 1, 3])
def test_a_header_length_that_cuts_elsewhere_is_refused(
    infer: Infer, model: Model, change: int
) -> None:
    described, tail = parts(model.inputs())
    head = json.dumps(model.request(described)).encode()

    refused(infer.binary(head, tail, header_length=str(len(head) + change)))


@pytest.mark.parametrize("missing", [1, 4, 7])
def test_a_body_that_ends_within_a_tensor_is_refused(
    infer: Infer, model: Model, missing: int
) -> None:
    described, tail = parts(model.inputs())

    refused(infer.binary(model.request(described), tail[:-missing]))


@pytest.mark.parametrize("surplus", [b"\0", b"\0" * 8, b"{}"])
def test_bytes_after_the_last_tensor_are_refused(
    infer: Infer, model: Model, surplus: bytes
) -> None:
    described, tail = parts(model.inputs())

    refused(infer.binary(model.request(described), tail + surplus))


def test_a_tensor_without_any_bytes_is_refused(infer: Infer, model: Model) -> None:
    described, _ = parts(model.inputs())

    refused(infer.binary(model.request(described), b""))


@pytest.mark.parametrize("size", [0, -8, 1, 7, 2**63, 1.5, "32", True, None, [8]])
def test_a_size_that_is_not_that_of_the_shape_is_refused(
    infer: Infer, model: Model, size: object
) -> None:
    request, tail = _first(model, binary_data_size=size)

    refused(infer.binary(request, tail))


def test_a_size_that_agrees_with_the_body_but_not_with_the_shape_is_refused(
    infer: Infer, model: Model
) -> None:
    described, tail = parts(model.inputs())
    last = described[-1]
    last["parameters"] = {
        **last["parameters"],
        "binary_data_size": last["parameters"]["binary_data_size"] + 8,
    }

    refused(infer.binary(model.request(described), tail + b"\0" * 8))


def test_data_beside_a_size_is_refused(infer: Infer, model: Model) -> None:
    described, tail = parts(model.inputs())
    described[0] = {**described[0], "data": model.inputs()[0].data}

    refused(infer.binary(model.request(described), tail))


def test_a_size_in_a_request_without_the_header_is_refused(infer: Infer, model: Model) -> None:
    described, _ = parts(model.inputs())

    refused(infer.json(model.request(described)))


def test_json_that_is_none_before_bytes_is_refused(infer: Infer, model: Model) -> None:
    _, tail = parts(model.inputs())

    refused(infer.binary(b'{"inputs": [', tail))


def test_a_shape_whose_product_overflows_is_refused(infer: Infer, model: Model) -> None:
    described, tail = parts(model.inputs())
    described[0]["shape"] = [2**32, 2**32]

    refused(infer.binary(model.request(described), tail))


@pytest.mark.parametrize("value", ["yes", 1, None, []])
def test_a_wish_for_bytes_that_is_no_boolean_is_refused_or_ignored(
    infer: Infer, model: Model, value: object
) -> None:
    outputs = [{"name": model.output_names[0], "parameters": {"binary_data": value}}]
    response = infer.json(model.request(outputs=outputs))

    if response.status_code == 200:
        assert set(answered(response, model)) == {model.output_names[0]}
    else:
        refused(response)


@pytest.mark.parametrize("length", [0xFFFFFFFF, 1000, 0])
def test_a_text_whose_length_lies_is_refused(infer: Infer, model: Model, length: int) -> None:
    inputs = model.inputs()
    at = next((at for at, tensor in enumerate(inputs) if tensor.datatype == "BYTES"), None)
    if at is None:
        pytest.skip("the model has no text")
    written = [tensor.as_binary() for tensor in inputs]
    written[at] = (written[at][0], struct.pack("<I", length) + written[at][1][4:])

    request = model.request([described for described, _ in written])
    refused(infer.binary(request, b"".join(tail for _, tail in written)))


def test_text_that_is_not_utf_8_is_refused(infer: Infer, model: Model) -> None:
    inputs = model.inputs(1)
    at = next((at for at, tensor in enumerate(inputs) if tensor.datatype == "BYTES"), None)
    if at is None:
        pytest.skip("the model has no text")
    written = [tensor.as_binary() for tensor in inputs]
    tail = struct.pack("<I", 2) + b"\xff\xfe"
    described = inputs[at].described(binary_data_size=len(tail))
    written[at] = (described, tail)

    request = model.request([described for described, _ in written])
    response = infer.binary(request, b"".join(tail for _, tail in written))
    # A model may take any bytes; most take text.
    assert response.status_code == 200 or refused(response)


@pytest.mark.parametrize("value", [2, 255])
def test_a_boolean_that_is_neither_0_nor_1_is_refused_or_true(
    infer: Infer, model: Model, value: int
) -> None:
    inputs = model.inputs(1)
    at = next((at for at, tensor in enumerate(inputs) if tensor.datatype == "BOOL"), None)
    if at is None:
        pytest.skip("the model has no booleans")
    written = [tensor.as_binary() for tensor in inputs]
    written[at] = (written[at][0], bytes([value]) * len(written[at][1]))

    request = model.request([described for described, _ in written])
    response = infer.binary(request, b"".join(tail for _, tail in written))
    assert response.status_code == 200 or refused(response)
