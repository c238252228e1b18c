"""Other protocols on the fast path: single rows, with the same bytes as on the ordinary path."""

import json
import struct
from typing import Any

import pytest

from service.schema.contract import Feature, Schema
from tests.support.scenes import JSON, ask, comparable, crowd, serve_site
from tests.support.site import Site, predictor_for

SCHEMA = Schema((Feature("x", "number"), Feature("a:b", "number", high=100.0)), ("a", "b"))
COUNTED = Schema(SCHEMA.features, (1, 2))
MIXED = Schema((Feature("x", "number"), Feature("y", "text", categories=("q",))), ("a", "b"))

INFER = b"/v2/models/m/infer"
TENSOR = {"name": "t:1", "shape": [1, 2], "datatype": "FP64"}
TAIL = struct.pack("<2d", 4.0, 0.0)
IN_BINARY = {**TENSOR, "parameters": {"binary_data_size": 16}}


def sent(url: bytes, body: bytes, *headers: bytes) -> bytes:
    length = b"content-length: %d" % len(body)
    return b"\r\n".join([b"POST %b HTTP/1.1" % url, *headers, length, b"", body])


def json_sent(url: bytes, body: Any, *headers: bytes) -> bytes:
    return sent(url, json.dumps(body).encode(), *(headers or (JSON,)))


def binary_sent(head: Any, tail: bytes = TAIL, url: bytes = INFER) -> bytes:
    text = json.dumps(head).encode()
    size = b"Inference-Header-Content-Length: %d" % len(text)
    return sent(url, text + tail, b"content-type: application/octet-stream", size)


FAST: dict[str, bytes] = {
    "a tensor": json_sent(INFER, {"inputs": [{**TENSOR, "data": [4.0, 0]}]}),
    "a nested tensor": json_sent(INFER, {"inputs": [{**TENSOR, "data": [[4.0, 0]]}]}),
    "without a type": sent(
        INFER, json.dumps({"inputs": [{**TENSOR, "data": [4, 0]}]}).encode(), b"accept: */*"
    ),
    "binary in": binary_sent({"inputs": [IN_BINARY]}),
    "binary both ways": binary_sent(
        {"inputs": [IN_BINARY], "parameters": {"binary_data_output": True}}
    ),
    "binary output by name": binary_sent(
        {
            "inputs": [IN_BINARY],
            "outputs": [{"name": "predict", "parameters": {"binary_data": True}}],
        }
    ),
    "a frame": json_sent(
        b"/invocations", {"dataframe_split": {"columns": ["x", "a:b"], "data": [[4, 0]]}}
    ),
    "a frame with its index": json_sent(
        b"/invocations",
        {"dataframe_split": {"index": [0], "columns": ["x", "a:b"], "data": [[4, 0]]}},
    ),
}

ORDINARY: dict[str, bytes] = {
    "two rows": json_sent(INFER, {"inputs": [{**TENSOR, "shape": [2, 2], "data": [4, 0, 1, 1]}]}),
    "an id": json_sent(INFER, {"inputs": [{**TENSOR, "data": [4, 0]}], "id": "1"}),
    "a key twice": sent(
        INFER,
        b'{"inputs":[{"name":"t","shape":[1,2],"datatype":"FP64","datatype":"FP64","data":[4,0]}]}',
        JSON,
    ),
    "a key twice for a colon": sent(
        INFER,
        b'{"inputs":[{"name":"t\\u003a","shape":[1,2],"datatype":"FP64","datatype":"FP64",'
        b'"data":[4,0]}]}',
        JSON,
    ),
    "another datatype": json_sent(
        INFER, {"inputs": [{**TENSOR, "datatype": "FP32", "data": [4, 0]}]}
    ),
    "too few values": json_sent(INFER, {"inputs": [{**TENSOR, "data": [4]}]}),
    "out of range": json_sent(INFER, {"inputs": [{**TENSOR, "data": [4, 101]}]}),
    "one value nested": json_sent(INFER, {"inputs": [{**TENSOR, "data": [4, [0]]}]}),
    "nested too deeply": json_sent(INFER, {"inputs": [{**TENSOR, "data": [[[4, 0]]]}]}),
    "null": json_sent(INFER, {"inputs": [{**TENSOR, "data": [4, None]}]}),
    "another model": json_sent(b"/v2/models/n/infer", {"inputs": [{**TENSOR, "data": [4, 0]}]}),
    "a version": json_sent(
        b"/v2/models/m/versions/1/infer", {"inputs": [{**TENSOR, "data": [4, 0]}]}
    ),
    "probabilities": binary_sent(
        {"inputs": [IN_BINARY], "outputs": [{"name": "predict"}, {"name": "predict_proba"}]}
    ),
    "an id in binary": binary_sent({"id": "7", "inputs": [IN_BINARY]}),
    "NaN in binary": binary_sent({"inputs": [IN_BINARY]}, struct.pack("<2d", float("nan"), 0)),
    "infinity in binary": binary_sent({"inputs": [IN_BINARY]}, struct.pack("<2d", float("inf"), 0)),
    "cut off": binary_sent({"inputs": [IN_BINARY]}, TAIL[:-1]),
    "too long": binary_sent({"inputs": [IN_BINARY]}, TAIL + b"\0"),
    "FP32 of the same size": binary_sent(
        {"inputs": [{**IN_BINARY, "datatype": "FP32", "shape": [2, 2]}]}
    ),
    "INT64": binary_sent({"inputs": [{**IN_BINARY, "datatype": "INT64"}]}),
    "data besides": binary_sent({"inputs": [{**IN_BINARY, "data": [1, 2]}]}),
    "raw": sent(INFER, TAIL, b"Inference-Header-Content-Length: 0"),
    "a length that lies": sent(INFER, TAIL, b"Inference-Header-Content-Length: 99"),
    "a length that is none": sent(INFER, TAIL, b"Inference-Header-Content-Length: x"),
    "a frame in another order": json_sent(
        b"/invocations", {"dataframe_split": {"columns": ["a:b", "x"], "data": [[0, 4]]}}
    ),
    "records": json_sent(b"/invocations", {"inputs": [{"x": 4, "a:b": 0}]}),
    "params": json_sent(
        b"/invocations",
        {
            "dataframe_split": {"columns": ["x", "a:b"], "data": [[4, 0]]},
            "params": {"predict_fn": "predict_proba"},
        },
    ),
    "a frame with a key twice": sent(
        b"/invocations",
        b'{"dataframe_split":{"columns":["x","a:b"],"columns":["x","a:b"],"data":[[4,0]]}}',
        JSON,
    ),
    "text": sent(b"/invocations", b"x,a:b\n4,0\n", b"content-type: text/plain"),
}


@pytest.mark.parametrize("schema", [SCHEMA, COUNTED])
@pytest.mark.parametrize("case", FAST)
def test_a_single_row_is_answered_without_a_scope_with_the_same_bytes(
    case: str, schema: Schema
) -> None:
    async def scene(site: Site) -> tuple[bytes, int]:
        written = b""
        for _ in range(3):  # the head is cached from the second on
            ((_, transport),) = ask(site, FAST[case])
            await site.settle()
            written += comparable(transport.written)
        return written, site.scopes

    predictor = predictor_for(schema)
    written, scopes = serve_site(predictor, scene)
    ordinary, ordinary_scopes = serve_site(predictor, scene, short_way=False)

    assert written.startswith(b"HTTP/1.1 200 OK")
    assert written == ordinary
    assert (scopes, ordinary_scopes) == (0, 3)


@pytest.mark.parametrize("case", ORDINARY)
def test_anything_else_takes_the_ordinary_path(case: str) -> None:
    async def scene(site: Site) -> tuple[bytes, int]:
        ask(site, FAST["binary in"])  # what was learnt from it must not matter
        await site.settle()
        before = site.scopes
        ((_, transport),) = ask(site, ORDINARY[case])
        await site.settle()
        return comparable(transport.written), site.scopes - before

    predictor = predictor_for(SCHEMA)
    written, scopes = serve_site(predictor, scene)

    assert scopes == 1
    assert (written, scopes) == serve_site(predictor, scene, short_way=False)


def test_a_model_of_other_types_takes_the_ordinary_path() -> None:
    async def scene(site: Site) -> int:
        for case in FAST:
            ask(site, FAST[case])
        await site.settle()
        return site.scopes

    assert serve_site(predictor_for(MIXED), scene) == len(FAST)


def test_a_crowd_in_all_protocols_gets_each_its_own_answer() -> None:
    own = b'{"instances": [[4, 0]]}'
    requests = [*FAST.values(), sent(b"/predict", own, JSON)] * 5

    async def scene(site: Site) -> list[bytes]:
        await crowd(site)
        connections = ask(site, *requests)
        await site.settle()
        assert site.scopes == 0
        return [comparable(transport.written) for _, transport in connections]

    async def alone(site: Site) -> list[bytes]:
        answers = []
        for one in requests:
            ((_, transport),) = ask(site, one)
            await site.settle()
            answers.append(comparable(transport.written))
        return answers

    predictor = predictor_for(SCHEMA)

    assert serve_site(predictor, scene) == serve_site(predictor, alone, short_way=False)


def test_predictions_are_counted_by_the_route_of_their_protocol() -> None:
    async def scene(site: Site) -> dict[str, float]:
        for case in FAST:
            ask(site, FAST[case])
        await site.settle()
        assert site.scopes == 0
        found: dict[str, float] = {}
        for (name, labels), value in site.counts().items():
            if name == "service_requests_total":
                found[labels[0]] = found.get(labels[0], 0) + value
        return {route: count for route, count in found.items() if count}

    counts = serve_site(predictor_for(SCHEMA), scene)

    assert counts == {"/v2/models/{name}/infer": 6.0, "/invocations": 2.0}
