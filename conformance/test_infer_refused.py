"""Inference with JSON that is wrong: refused with a 4xx, the envelope, and no harm done."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from conformance.target import Infer, Model, answered, refused

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def unharmed(infer: Infer, model: Model) -> Any:
    """Ask the model something right after each test."""
    yield
    assert answered(infer.json(model.request()), model)


def _changed(model: Model, change: Change) -> dict[str, Any]:
    """Return a request of which one input is changed."""
    request: dict[str, Any] = json.loads(json.dumps(model.request()))
    change(request["inputs"][0])
    return request


@pytest.mark.parametrize("key", ["name", "shape", "datatype", "data"])
def test_an_input_without_a_required_key_is_refused(infer: Infer, model: Model, key: str) -> None:
    refused(infer.json(_changed(model, lambda tensor: tensor.pop(key))))


@pytest.mark.parametrize("value", [None, "", 7, [1], {"a": 1}])
@pytest.mark.parametrize("key", ["shape", "datatype", "data"])
def test_a_key_of_another_type_is_refused(
    infer: Infer, model: Model, key: str, value: object
) -> None:
    if key == "data" and value == [1]:
        value = {"a": 1}
    refused(infer.json(_changed(model, lambda tensor: tensor.update({key: value}))))


@pytest.mark.parametrize("value", [None, 7, ["a"], {}])
def test_a_name_that_is_no_text_is_refused(infer: Infer, model: Model, value: object) -> None:
    refused(infer.json(_changed(model, lambda tensor: tensor.update(name=value))))


@pytest.mark.parametrize("datatype", ["FP65", "fp64", "float64", "TYPE_FP64", "INT", "BF16"])
def test_an_unknown_datatype_is_refused(infer: Infer, model: Model, datatype: str) -> None:
    refused(infer.json(_changed(model, lambda tensor: tensor.update(datatype=datatype))))


@pytest.mark.parametrize(
    "change",
    [
        lambda shape: [shape[0] + 1, *shape[1:]],
        lambda shape: [shape[0] - 1, *shape[1:]],
        lambda shape: [-shape[0], *shape[1:]],
        lambda shape: [-1, *shape[1:]],
        lambda shape: [0, *shape[1:]],
        lambda shape: [float(shape[0]) + 0.5, *shape[1:]],
        lambda shape: [str(shape[0]), "x"],
        lambda shape: [*shape, 2],
        lambda shape: [2**62, *shape[1:]],
        lambda shape: [2**40, 2**40, *shape],
        lambda _: [],
        lambda shape: [shape],
    ],
    ids=["more", "fewer", "negative", "open", "none", "half", "text", "deeper", "huge",
         "overflowing", "scalar", "nested"],
)  # fmt: skip
def test_a_shape_that_is_not_that_of_the_data_is_refused(
    infer: Infer, model: Model, change: Callable[[list[int]], object]
) -> None:
    refused(
        infer.json(_changed(model, lambda tensor: tensor.update(shape=change(tensor["shape"]))))
    )


def test_a_shape_that_the_model_does_not_take_is_refused(infer: Infer, model: Model) -> None:
    fixed = [tensor["shape"][1:] for tensor in model.metadata["inputs"]]
    if not fixed[0] or -1 in fixed[0] or model.example:
        pytest.skip("the metadata has no fixed dimension")

    def widen(tensor: dict[str, Any]) -> None:
        tensor["shape"] = [*tensor["shape"][:-1], tensor["shape"][-1] + 1]
        rows, width = tensor["shape"][0], len(tensor["data"]) // tensor["shape"][0]
        tensor["data"] = (tensor["data"] * 2)[: rows * (width + 1)]

    refused(infer.json(_changed(model, widen)))


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: [*data, data[0]], lambda _: []],
    ids=["short", "long", "empty"],
)
def test_data_of_another_length_is_refused(
    infer: Infer, model: Model, change: Callable[[list[Any]], object]
) -> None:
    refused(infer.json(_changed(model, lambda tensor: tensor.update(data=change(tensor["data"])))))


def test_ragged_data_is_refused(infer: Infer, model: Model) -> None:
    def bend(tensor: dict[str, Any]) -> None:
        data = tensor["data"]
        tensor["data"] = [[data[0]], [*data[1:], data[0]]]

    refused(infer.json(_changed(model, bend)))


@pytest.mark.parametrize("element", ["word", {"a": 1}, [[1]]])
def test_an_element_that_is_no_number_is_refused(
    infer: Infer, model: Model, element: object
) -> None:
    if model.inputs()[0].datatype in ("BYTES", "BOOL"):
        pytest.skip("the first input has no numbers")

    def spoil(tensor: dict[str, Any]) -> None:
        tensor["data"][0] = element

    refused(infer.json(_changed(model, spoil)))


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999999"])
def test_a_number_that_is_not_finite_is_refused_or_answered_in_json(
    infer: Infer, model: Model, token: str
) -> None:
    if not model.inputs()[0].datatype.startswith("FP"):
        pytest.skip("the first input has no floating point numbers")
    request = _changed(model, lambda tensor: tensor["data"].__setitem__(0, "here"))
    content = json.dumps(request).replace('"here"', token).encode()
    response = infer.send(content)

    # JSON has no such tokens, but a parser may take more than JSON; a reply may not have more.
    if response.status_code == 200:
        assert answered(response, model)
    else:
        refused(response)


@pytest.mark.parametrize("token", ["1.", "0x1", "01", "--1", "1_0"])
def test_a_token_that_is_no_number_is_refused(infer: Infer, model: Model, token: str) -> None:
    request = _changed(model, lambda tensor: tensor["data"].__setitem__(0, "here"))

    refused(infer.send(json.dumps(request).replace('"here"', token).encode()))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b'"text"', b"7", b"{}", b'{"inputs": ', b"\xff\xfe", b"\x00" * 40,
     b'{"inputs": []} {}', b"inputs=1", b'{"inputs": null}', b'{"inputs": {}}', b'{"inputs": []}',
     b'{"inputs": [7]}', b'{"inputs": [null]}', b'{"inputs": "x"}', b'{"instances": [[1]]}',
     b"[" * 100_000],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(infer: Infer, content: bytes) -> None:
    refused(infer.send(content))


@pytest.mark.parametrize("value", [{}, 7, "x", [7], [{}], [{"name": 7}], [{"name": None}]])
def test_outputs_of_another_type_are_refused(infer: Infer, model: Model, value: object) -> None:
    if value == {}:
        value = {"name": model.output_names[0]}
    refused(infer.json(model.request(outputs=value)))


def test_an_unknown_output_is_refused(infer: Infer, model: Model) -> None:
    refused(infer.json(model.request(outputs=[{"name": "no such output"}])))


def test_an_unknown_output_beside_a_known_one_is_refused(infer: Infer, model: Model) -> None:
    outputs = [{"name": model.output_names[0]}, {"name": "no such output"}]

    refused(infer.json(model.request(outputs=outputs)))


def test_two_inputs_of_one_name_are_refused(infer: Infer, model: Model) -> None:
    first = model.inputs()[0].as_json()

    refused(infer.json(model.request([*model.request()["inputs"], first])))


def test_an_input_that_is_left_out_is_missed(infer: Infer, model: Model) -> None:
    inputs = model.request()["inputs"]
    if len(inputs) == 1:
        pytest.skip("the model has one input")

    refused(infer.json(model.request(inputs[1:])))


def test_inputs_of_different_rows_are_refused(infer: Infer, model: Model) -> None:
    inputs = model.inputs(3)
    if len(inputs) == 1:
        pytest.skip("the model has one input")

    changed = [model.inputs(2)[0].as_json(), *(tensor.as_json() for tensor in inputs[1:])]
    refused(infer.json(model.request(changed)))
