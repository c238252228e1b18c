"""Graphs as others convert them: what they read, and what becomes of their probabilities."""

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.support.notebook import HIGH_LOW, linear_graph, listed, log_onnx, use
from tests.support.server import Client


def _zip_map(classes: tuple[str, ...] = HIGH_LOW) -> NodeProto:
    return helper.make_node(
        "ZipMap", ["probabilities"], ["maps"], domain="ai.onnx.ml", classlabels_strings=classes
    )


def _maps() -> object:
    row = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(1, []))
    return helper.make_value_info("maps", helper.make_sequence_type_proto(row))


def _constant(name: str, value: float) -> NodeProto:
    number = numpy_helper.from_array(np.array(value, np.float32))
    return helper.make_node("Constant", [], [name], value=number)


def _probabilities(client: Client, rows: list[list[float]]) -> list[list[float]]:
    reply = client.predict({"instances": rows, "probabilities": True})
    assert reply.status_code == 200, reply.text
    found: list[list[float]] = reply.json()["probabilities"]
    return found


def test_the_probabilities_of_a_graph_with_maps_are_served(foreign_service: Client) -> None:
    log_onnx(linear_graph(1), "plain")
    log_onnx(linear_graph(1, _zip_map(), outputs=[_maps()]), "maps")
    rows = [[2.0], [-0.5]]
    assert use(foreign_service, "plain") == 200
    expected = _probabilities(foreign_service, rows)

    assert use(foreign_service, "maps") == 200

    assert _probabilities(foreign_service, rows) == expected
    assert foreign_service.get("/schema").json()["classes"] == list(HIGH_LOW)
    assert foreign_service.predict({"instances": rows}).json()["predictions"] == ["high", "low"]


def test_the_maps_say_which_probability_is_whose(foreign_service: Client) -> None:
    swapped = [_constant("one", 1.0), helper.make_node("Sub", ["one", "probabilities"], ["p"])]
    node = _zip_map(("low", "high"))
    node.input[0] = "p"
    log_onnx(linear_graph(1, *swapped, node, outputs=[_maps()]), "swapped")

    assert use(foreign_service, "swapped") == 200

    reply = foreign_service.predict({"instances": [[2.0]], "probabilities": True}).json()
    ((low, high),) = reply["probabilities"]
    assert reply["classes"] == ["low", "high"]
    assert reply["predictions"] == ["high"]
    assert high > 0.9 > 0.1 > low


def test_a_graph_that_reads_whole_numbers_is_refused_with_the_reason(
    foreign_service: Client,
) -> None:
    log_onnx(linear_graph(1, reads=TensorProto.INT64), "whole")

    assert use(foreign_service, "whole") == 409
    assert "its input 'X' is tensor(int64)" in listed(foreign_service, "whole")["reason"]


def test_probabilities_that_were_rounded_are_within_0_and_1(foreign_service: Client) -> None:
    rounded = [
        _constant("more", 1.0000002),
        _constant("less", 1e-7),
        helper.make_node("Mul", ["probabilities", "more"], ["p"]),
        helper.make_node("Sub", ["p", "less"], ["q"]),
    ]
    outputs = [helper.make_tensor_value_info("q", TensorProto.FLOAT, [None, 2])]
    log_onnx(linear_graph(1, *rounded, outputs=outputs), "rounded")
    assert use(foreign_service, "rounded") == 200

    ((high, low),) = _probabilities(foreign_service, [[90.0]])

    assert (high, low) == (1.0, 0.0)


def test_scores_are_not_served_as_probabilities(foreign_service: Client) -> None:
    log_onnx(linear_graph(2, post_transform="NONE"), "scores")

    assert use(foreign_service, "scores") == 200

    assert foreign_service.predict({"instances": [[3.0, 1.0]]}).json()["predictions"] == ["high"]
    refused = foreign_service.predict({"instances": [[3.0, 1.0]], "probabilities": True})
    assert refused.status_code == 400
    assert "no probabilities" in refused.json()["detail"]
