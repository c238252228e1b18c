"""ModelInfer: tensors of every kind in, tensors out, the same as over REST."""

from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from service.api.inference.tensors import DATATYPES
from service.grpc.messages import message
from service.grpc.requests import CONTENTS
from tests.api.inference.test_infer import ROW, TENSOR, WHOLE, WRONG
from tests.grpc.conftest import Both
from tests.support.grpc_client import infer_request, values_of

BOTH = [{"name": "predict"}, {"name": "predict_proba"}]
MIXED = [
    {"name": "age", "shape": [2, 1], "datatype": "FP64", "data": [34.5, float("nan")]},
    {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["Rio", "Lima"]},
    {"name": "vip", "shape": [2, 1], "datatype": "BOOL", "data": [True, False]},
]
EXAMPLE = " A message that works: "


def rest_values(both: Both, model: str, body: dict[str, Any]) -> dict[str, list[Any]]:
    answered = both.rest.post(f"/v2/models/{model}/infer", json=body).json()
    return {output["name"]: output["data"] for output in answered["outputs"]}


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
def test_labels_and_probabilities_are_those_of_rest_to_the_last_bit(both: Both, raw: bool) -> None:
    rows = np.random.default_rng(0).uniform(0, 8, (50, 4))
    tensor = {"name": "x", "shape": [50, 4], "datatype": "FP64", "data": rows.ravel().tolist()}
    body = {"inputs": [tensor], "outputs": BOTH, "id": "seven"}

    reply = both.grpc.call("ModelInfer", infer_request(body, raw=raw)).message

    assert values_of(reply) == rest_values(both, "iris", body)
    assert (reply.model_name, reply.model_version, reply.id) == ("iris", "1", "seven")
    assert [list(output.shape) for output in reply.outputs] == [[50, 1], [50, 3]]
    assert [output.datatype for output in reply.outputs] == ["BYTES", "FP64"]


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize(("model", "datatype"), [("mixed", "INT64"), ("truth", "BOOL")])
def test_columns_of_every_type_are_answered_as_over_rest(
    both: Both, model: str, datatype: str, raw: bool
) -> None:
    missing = [34.5, None]  # JSON has no NaN
    asked = {"inputs": [{**MIXED[0], "data": missing}, *MIXED[1:]], "outputs": BOTH}
    request = infer_request({"inputs": MIXED[::-1], "outputs": BOTH}, model, raw=raw)

    reply = both.grpc.call("ModelInfer", request).message

    assert values_of(reply) == rest_values(both, model, asked)
    assert reply.outputs[0].datatype == datatype


def test_a_reply_is_raw_where_the_request_was_and_only_there(both: Both) -> None:
    for raw in (False, True):
        request = infer_request({"inputs": [TENSOR], "outputs": BOTH}, raw=raw)
        reply = both.grpc.call("ModelInfer", request).message

        assert len(reply.raw_output_contents) == (2 if raw else 0)
        assert all(output.HasField("contents") is not raw for output in reply.outputs)


NUMBERS = [name for name in DATATYPES if name not in ("BOOL", "BYTES")]


@pytest.mark.parametrize(
    ("datatype", "raw"),
    [(name, raw) for name in NUMBERS for raw in (False, True) if raw or name in CONTENTS],
)
def test_numbers_may_have_any_datatype(both: Both, datatype: str, raw: bool) -> None:
    tensor = {"name": "x", "shape": [1, 4], "datatype": datatype, "data": [5, 3, 1, 0]}

    reply = both.grpc.call("ModelInfer", infer_request({"inputs": [tensor]}, raw=raw)).message

    assert values_of(reply) == {"predict": ["setosa"]}


def test_every_datatype_but_fp16_has_typed_contents() -> None:
    assert set(DATATYPES) - set(CONTENTS) == {"FP16"}


def test_a_version_may_be_named_and_the_reply_says_which_answered(both: Both) -> None:
    request = infer_request({"inputs": [TENSOR]}, version="1")

    reply = both.grpc.call("ModelInfer", request)

    assert reply.headers == {"x-model-name": "iris", "x-model-version": "1", "x-model-epoch": "1"}
    assert reply.message.id == ""
    other = both.grpc.call("ModelInfer", infer_request({"inputs": MIXED}, "mixed"))
    assert other.headers == {"x-model-name": "mixed", "x-model-version": "1"}


SAME_AS_REST = (
    *("empty inputs", "datatype", "BF16", "product", "width", "negative", "three dimensions"),
    *("no dimensions", "no rows", "300 as UINT8", "BOOL tensor", "BYTES tensor", "name twice"),
    *("unknown output", "output twice", "classification", "shared memory", "base64"),
    *("unknown columns", "rows that differ", "huge shape"),
)
"""What is wrong in JSON and can be so in a message, too."""


@pytest.mark.parametrize("case", SAME_AS_REST)
def test_what_is_wrong_over_rest_is_an_invalid_argument_with_the_same_sentence(
    both: Both, case: str
) -> None:
    body, sentence = WRONG[case]
    assert isinstance(body, dict)

    refused = both.grpc.fail("ModelInfer", infer_request(body))

    assert refused.code == "INVALID_ARGUMENT"
    assert sentence in refused.details
    over_rest = both.rest.post("/v2/models/iris/infer", json=body).json()["error"]
    assert refused.details.partition(EXAMPLE)[0] == over_rest.partition(" A request that")[0]


@pytest.mark.parametrize("model", ["iris", "mixed"])
def test_an_error_shows_a_message_that_works(both: Both, model: str) -> None:
    refused = both.grpc.fail("ModelInfer", infer_request({}, model))

    request = text_format.Parse(
        refused.details.partition(EXAMPLE)[2], message("ModelInferRequest")()
    )
    assert len(both.grpc.call("ModelInfer", request).message.outputs) == 1


def _changed(**changes: Any) -> Any:
    request = infer_request({"inputs": [{**TENSOR, **changes.pop("tensor", {})}]})
    request.MergeFrom(message("ModelInferRequest")(**changes))
    return request


def _many(kind: str) -> Any:
    request = infer_request({"inputs": [TENSOR]})
    for number in range(1001):
        if kind == "inputs":
            request.inputs.add(name=str(number))
        elif kind == "outputs":
            request.outputs.add(name=str(number))
        elif kind == "shape":
            request.inputs[0].shape.append(1)
        else:
            request.parameters.add(key=str(number))
    return request


def _twice() -> Any:
    request = infer_request({"inputs": [TENSOR]})
    for _ in range(2):
        request.parameters.add(key="content_type").value.string_param = "pd"
    return request


def _elsewhere() -> Any:
    request = infer_request({"inputs": [WHOLE]})
    request.inputs[0].contents.fp32_contents.extend(ROW)
    return request


def _two_fields() -> Any:
    request = infer_request({"inputs": [TENSOR]})
    request.inputs[0].contents.int_contents.extend([1])
    return request


WRONG_MESSAGES: dict[str, tuple[Any, str]] = {
    "no message": (b"\xff\xff", "The message is no ModelInferRequest."),
    "no UTF-8": (b"\x1a\x01\xff\x0a\x04iris", "The message is no ModelInferRequest."),
    "no data": (infer_request({"inputs": [WHOLE]}), "has 0 values for the shape [1, 4]"),
    "FP16": (_changed(tensor={"datatype": "FP16"}), "which only raw_input_contents can hold"),
    "another field": (_elsewhere(), "has fp32_contents; the values of FP64 stand in fp64_contents"),
    "two fields": (_two_fields(), "has int_contents and fp64_contents; the values of FP64"),
    "both": (_changed(raw_input_contents=[bytes(32)]), "has both contents and raw_input_contents"),
    "too few raw": (
        _changed(raw_input_contents=[bytes(32)] * 2),
        "has 1 inputs and 2 raw_input_contents; each input needs its own",
    ),
    "raw bytes": (
        message("ModelInferRequest")(
            model_name="iris",
            inputs=[{"name": "x", "datatype": "FP64", "shape": [1, 4]}],
            raw_input_contents=[bytes(31)],
        ),
        "has 31 bytes; FP64 of the shape [1, 4] has 32",
    ),
    "NaN": (infer_request({"inputs": [{**TENSOR, "data": [float("nan"), 1, 2, 3]}]}), "not null"),
    "infinity": (
        infer_request({"inputs": [{**TENSOR, "data": [float("inf"), 1, 2, 3]}]}),
        "out of the",
    ),
    "1,002 inputs": (_many("inputs"), "has 1,002 inputs, more than 1,000"),
    "1,001 outputs": (_many("outputs"), "has 1,001 outputs, more than 1,000"),
    "1,001 parameters": (_many("parameters"), "has 1,001 parameters, more than 1,000"),
    "1,003 dimensions": (_many("shape"), "inputs[0].shape: expected 'array' of length <= 16"),
    "parameter twice": (_twice(), "has the parameter 'content_type' twice"),
}


@pytest.mark.parametrize("case", WRONG_MESSAGES)
def test_a_wrong_message_is_an_invalid_argument_with_a_sentence(both: Both, case: str) -> None:
    request, sentence = WRONG_MESSAGES[case]

    refused = both.grpc.fail("ModelInfer", request)

    assert refused.code == "INVALID_ARGUMENT"
    assert sentence in refused.details
    assert "Traceback" not in refused.details


def test_too_many_rows_exhaust_a_resource(both: Both) -> None:
    tensor = {"name": "x", "shape": [10_001, 4], "datatype": "FP64", "data": [0.5] * 40_004}

    refused = both.grpc.fail("ModelInfer", infer_request({"inputs": [tensor]}))

    assert refused.code == "RESOURCE_EXHAUSTED"
    assert "10,000 rows" in refused.details


@pytest.mark.parametrize(("model", "version"), [("nobody", ""), ("", ""), ("iris", "99"),
                                                ("iris", "x"), ("in-use", "1")])  # fmt: skip
def test_what_there_is_not_is_not_found(both: Both, model: str, version: str) -> None:
    refused = both.grpc.fail("ModelInfer", infer_request({"inputs": [TENSOR]}, model, version))

    assert refused.code == "NOT_FOUND"
    assert refused.details.startswith(("There is no model", "Model 'iris' has no version"))


def test_an_epoch_that_is_not_reached_is_unavailable(both: Both) -> None:
    request = infer_request({"inputs": [TENSOR]})

    refused = both.grpc.fail("ModelInfer", request, {"x-min-epoch": "9"})

    assert refused.code == "UNAVAILABLE"
    assert int(refused.trailers["retry-after"]) >= 1
    both.grpc.call("ModelInfer", request, {"x-min-epoch": "1"})


def test_details_stay_small_where_a_message_that_works_would_be_large(both: Both) -> None:
    names = [f"größe {number}" for number in range(80)]
    rows = [[float(i + j) for j in range(80)] + [i % 2] for i in range(20)]
    data = {"columns": [*names, "label"], "rows": rows}
    both.rest.train(name="wide", model_type="GaussianNB", dataset=data, target="label", use=False)
    inputs = [{**TENSOR, "name": name, "shape": [1], "data": [1.0]} for name in names[1:]]

    refused = both.grpc.fail("ModelInfer", infer_request({"inputs": inputs}, "wide"))

    assert refused.code == "INVALID_ARGUMENT"
    assert "größe 0" in refused.details
    assert len(refused.details.encode()) < 4096
    del both.registry.versions["wide", 1]
