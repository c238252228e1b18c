"""The binary tensor extension: JSON, then the bytes of tensors in the order of the inputs."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from conformance.target import HEADER_LENGTH, Infer, Model, Output, agree, answered, is_binary
from conformance.tensors import Tensor

pytestmark = pytest.mark.usefixtures("binary")


def parts(tensors: Sequence[Tensor]) -> tuple[list[dict[str, Any]], bytes]:
    """Return the descriptions of binary inputs, and the bytes after them."""
    written = [tensor.as_binary() for tensor in tensors]
    return [described for described, _ in written], b"".join(tail for _, tail in written)


@pytest.fixture
def expected(infer: Infer, model: Model) -> dict[str, Output]:
    """The answer to the same inputs in JSON."""
    return answered(infer.json(model.request(outputs=_named(model))), model)


def _named(model: Model, **parameters: object) -> list[dict[str, Any]]:
    more = {"parameters": parameters} if parameters else {}
    return [{"name": name, **more} for name in model.output_names]


def _agrees(response: httpx.Response, model: Model, expected: dict[str, Output]) -> None:
    outputs = answered(response, model)
    assert set(outputs) == set(expected)
    for name, (datatype, shape, elements) in outputs.items():
        assert (datatype, shape) == expected[name][:2]
        agree(elements, expected[name][2])


def test_binary_inputs_get_the_answer_of_json(
    infer: Infer, model: Model, expected: dict[str, Output]
) -> None:
    described, tail = parts(model.inputs())
    response = infer.binary(model.request(described, outputs=_named(model)), tail)

    _agrees(response, model, expected)


def test_binary_outputs_are_sent_where_each_is_asked_for(
    infer: Infer, model: Model, expected: dict[str, Output]
) -> None:
    response = infer.json(model.request(outputs=_named(model, binary_data=True)))

    _agrees(response, model, expected)
    assert all(is_binary(response).values())
    assert response.headers["content-type"] == "application/octet-stream"
    assert HEADER_LENGTH in response.headers


def test_binary_outputs_are_sent_where_the_request_asks_for_all(infer: Infer, model: Model) -> None:
    response = infer.json(
        {**model.request(), "parameters": {**model.parameters, "binary_data_output": True}}
    )

    answered(response, model)
    assert all(is_binary(response).values())


def test_an_output_overrules_the_request(
    infer: Infer, model: Model, expected: dict[str, Output]
) -> None:
    first, *others = model.output_names
    outputs = [{"name": first, "parameters": {"binary_data": False}}]
    request = model.request(outputs=[*outputs, *({"name": name} for name in others)])
    request["parameters"] = {**model.parameters, "binary_data_output": True}
    response = infer.json(request)

    _agrees(response, model, expected)
    assert is_binary(response) == {first: False, **dict.fromkeys(others, True)}


def test_outputs_in_json_and_in_bytes_are_mixed(
    infer: Infer, model: Model, expected: dict[str, Output]
) -> None:
    first, *others = model.output_names
    outputs = [{"name": first, "parameters": {"binary_data": True}}]
    response = infer.json(model.request(outputs=[*outputs, *({"name": name} for name in others)]))

    _agrees(response, model, expected)
    assert is_binary(response) == {first: True, **dict.fromkeys(others, False)}


def test_both_ways_are_binary(infer: Infer, model: Model, expected: dict[str, Output]) -> None:
    described, tail = parts(model.inputs())
    request = model.request(described, outputs=_named(model, binary_data=True), id="b")
    response = infer.binary(request, tail)

    _agrees(response, model, expected)
    head = response.content[: int(response.headers[HEADER_LENGTH])]
    assert json.loads(head)["id"] == "b"


def test_inputs_in_json_and_in_bytes_are_mixed(
    infer: Infer, model: Model, expected: dict[str, Output]
) -> None:
    first, *others = model.inputs()
    if not others:
        pytest.skip("the model has one input")
    described, tail = parts(others)
    response = infer.binary(
        model.request([first.as_json(), *described], outputs=_named(model)), tail
    )

    _agrees(response, model, expected)


def test_json_alone_may_say_its_length(
    infer: Infer, model: Model, expected: dict[str, Output]
) -> None:
    _agrees(infer.binary(model.request(outputs=_named(model)), b""), model, expected)


@pytest.mark.parametrize("pad", range(8))
def test_tensors_may_begin_at_any_byte(
    infer: Infer, model: Model, expected: dict[str, Output], pad: int
) -> None:
    described, tail = parts(model.inputs())
    head = json.dumps(model.request(described, outputs=_named(model))).encode() + b" " * pad

    _agrees(infer.binary(head, tail), model, expected)


def test_a_parameter_that_says_no_leaves_outputs_in_json(
    infer: Infer, model: Model, expected: dict[str, Output]
) -> None:
    response = infer.json(model.request(outputs=_named(model, binary_data=False)))

    _agrees(response, model, expected)
    assert not any(is_binary(response).values())


def test_raw_bytes_are_the_only_input_of_one_row(
    infer: Infer, model: Model, client: httpx.Client
) -> None:
    (tensor, *others) = model.inputs(1)
    if others:
        pytest.skip("the model has several inputs")
    headers = {HEADER_LENGTH: "0", "content-type": "application/octet-stream"}
    content = tensor.as_binary()[1]
    response = client.post(f"{infer.path()}/infer", content=content, headers=headers)

    outputs = answered(response, model)
    alone = answered(infer.json(model.request([tensor.as_json()])), model)
    assert all(is_binary(response).values())
    assert {name: outputs[name] for name in alone if name in outputs}
    for name in outputs.keys() & alone.keys():
        agree(outputs[name][2], alone[name][2])
