"""Inference with JSON that is right: what is sent, what comes back."""

import json

import pytest

from conformance.target import Infer, Model, agree, answered, parsed


def test_flat_data_is_answered(infer: Infer, model: Model) -> None:
    assert answered(infer.json(model.request()), model)


def test_a_reply_says_that_it_is_json(infer: Infer, model: Model) -> None:
    response = infer.json(model.request())

    assert response.headers["content-type"].startswith("application/json")


def test_nested_data_gets_the_answer_of_flat_data(infer: Infer, model: Model) -> None:
    nested = [tensor.as_json(data=tensor.nested()) for tensor in model.inputs(3)]
    flat = [tensor.as_json() for tensor in model.inputs(3)]

    expected = answered(infer.json(model.request(flat)), model)
    assert answered(infer.json(model.request(nested)), model) == expected


def test_the_order_of_inputs_does_not_matter(infer: Infer, model: Model) -> None:
    inputs = [tensor.as_json() for tensor in model.inputs()]
    if len(inputs) == 1:
        pytest.skip("the model has one input")

    expected = answered(infer.json(model.request(inputs)), model)
    assert answered(infer.json(model.request(inputs[::-1])), model) == expected


def test_rows_are_answered_as_they_are_alone(infer: Infer, model: Model) -> None:
    if not all(tensor.shape[0] == 3 for tensor in model.inputs(3)):
        pytest.skip("the model takes a fixed number of rows")
    alone = answered(infer.json(model.request([t.as_json() for t in model.inputs(1)])), model)
    three = answered(infer.json(model.request([t.as_json() for t in model.inputs(3)])), model)

    for name, (_, shape, elements) in three.items():
        assert shape[0] == 3
        agree(elements[: len(elements) // 3], alone[name][2])


@pytest.mark.parametrize("identifier", ["42", "", "ü ☃", "a" * 200])
def test_an_id_is_echoed(infer: Infer, model: Model, identifier: str) -> None:
    response = infer.json(model.request(id=identifier))

    answered(response, model)
    if identifier:
        assert response.json()["id"] == identifier


def test_without_an_id_the_reply_has_none_or_a_text(infer: Infer, model: Model) -> None:
    response = infer.json(model.request())

    answered(response, model)
    body = response.json()
    assert "id" not in body or isinstance(body["id"], str)


def test_empty_parameters_are_accepted(infer: Infer, model: Model) -> None:
    inputs = [tensor.as_json(parameters=tensor.parameters) for tensor in model.inputs()]
    request = model.request(inputs)

    assert answered(infer.json({"parameters": {}, **request}), model)


def test_keys_may_come_in_any_order(infer: Infer, model: Model) -> None:
    inputs = [dict(reversed(tensor.as_json().items())) for tensor in model.inputs()]
    request = dict(reversed(model.request(inputs, id="7").items()))

    assert answered(infer.json(request), model)


def test_space_between_tokens_is_accepted(infer: Infer, model: Model) -> None:
    content = json.dumps(model.request(), indent=4).encode() + b"\n"

    assert answered(infer.send(content), model)


def test_json_without_a_content_type_is_read(infer: Infer, model: Model) -> None:
    assert answered(infer.send(json.dumps(model.request()).encode(), {}), model)


def test_a_content_type_may_name_the_charset(infer: Infer, model: Model) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}

    assert answered(infer.send(json.dumps(model.request()).encode(), headers), model)


def test_each_output_can_be_asked_for_alone(infer: Infer, model: Model) -> None:
    every = answered(
        infer.json(model.request(outputs=[{"name": name} for name in model.output_names])), model
    )

    assert set(every) == set(model.output_names)
    for name in model.output_names:
        only = answered(infer.json(model.request(outputs=[{"name": name}])), model)
        assert only == {name: every[name]}


def test_outputs_left_out_are_default_ones(infer: Infer, model: Model) -> None:
    outputs = answered(infer.json(model.request()), model)

    assert outputs
    assert set(outputs) <= set(model.output_names)


def test_a_reply_has_no_nulls(infer: Infer, model: Model) -> None:
    body = parsed(infer.json(model.request()).content)

    assert None not in body.values()
    assert all(None not in output.values() for output in body["outputs"])


def test_data_of_a_reply_is_flat(infer: Infer, model: Model) -> None:
    body = parsed(infer.json(model.request()).content)

    for output in body["outputs"]:
        assert not any(isinstance(element, list) for element in output["data"])


def test_no_rows_get_no_rows_or_a_refusal(infer: Infer, model: Model) -> None:
    inputs = [tensor.as_json() for tensor in model.inputs(0)]
    response = infer.json(model.request(inputs))

    if response.status_code != 200:
        assert 400 <= response.status_code < 500
        return
    for _, _, elements in answered(response, model).values():
        assert not elements
