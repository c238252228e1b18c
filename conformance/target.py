"""The server and model under test: how requests are made, and what every reply must be."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from conformance.tensors import DATATYPES, NUMBERS, Tensor, decode, flat

HEADER_LENGTH = "inference-header-content-length"

Output = tuple[str, tuple[int, ...], tuple[Any, ...]]
"""The datatype, shape and elements of an output."""

_REFUSALS = (400, 404, 405, 406, 409, 411, 413, 415, 422, 501)
"""Statuses of a refusal: the protocol says "typically 400" and leaves the choice."""


class Infer:
    """Sends inference requests to one model."""

    def __init__(self, client: httpx.Client, model: str) -> None:
        self._client = client
        self._model = model

    def path(self, version: str | None = None) -> str:
        """Return the model's path, or that of one of its versions."""
        return f"/v2/models/{self._model}" + (f"/versions/{version}" if version else "")

    def json(self, body: object, version: str | None = None) -> httpx.Response:
        """Send JSON."""
        return self.send(json.dumps(body).encode(), version=version)

    def send(
        self,
        content: bytes,
        headers: Mapping[str, str] | None = None,
        version: str | None = None,
    ) -> httpx.Response:
        """Send bytes, by default as JSON."""
        sent = {"content-type": "application/json"} if headers is None else dict(headers)
        return self._client.post(f"{self.path(version)}/infer", content=content, headers=sent)

    def binary(
        self,
        body: object,
        tail: bytes,
        header_length: str | None = None,
        version: str | None = None,
    ) -> httpx.Response:
        """Send JSON, then bytes; `header_length` replaces the true length of the JSON."""
        head = body if isinstance(body, bytes) else json.dumps(body).encode()
        length = str(len(head)) if header_length is None else header_length
        headers = {"content-type": "application/octet-stream", HEADER_LENGTH: length}
        return self.send(head + tail, headers, version)


@dataclass(frozen=True, slots=True)
class Model:
    """The model under test, as its metadata and an optional example describe it."""

    name: str
    metadata: Mapping[str, Any]
    example: Sequence[Tensor]
    parameters: Mapping[str, Any]
    """What the example has as parameters of the whole request."""

    def inputs(self, rows: int = 2) -> list[Tensor]:
        """Return valid inputs with that many rows."""
        if self.example:
            return [tensor.resized(rows) for tensor in self.example]
        return [_made_up(described, rows) for described in self.metadata["inputs"]]

    def request(self, inputs: Sequence[object] | None = None, **more: object) -> dict[str, Any]:
        """Return a request: valid inputs unless others are given, and more keys."""
        body: dict[str, Any] = {"parameters": dict(self.parameters)} if self.parameters else {}
        sent = [tensor.as_json() for tensor in self.inputs()] if inputs is None else inputs
        return {**body, "inputs": list(sent), **more}

    @property
    def output_names(self) -> list[str]:
        """The names of all outputs."""
        return [output["name"] for output in self.metadata["outputs"]]


def _made_up(described: Mapping[str, Any], rows: int) -> Tensor:
    """Return a tensor of small values: the first open dimension has the rows, all others 1."""
    shape = list(described["shape"])
    if -1 in shape:
        shape[shape.index(-1)] = rows
    shape = [1 if size < 0 else size for size in shape]
    count, datatype = math.prod(shape), described["datatype"]
    data: list[Any]
    if datatype == "BYTES":
        data = ["a"] * count
    elif datatype == "BOOL":
        data = [at % 2 == 0 for at in range(count)]
    else:
        data = [1 + at % 7 if "INT" in datatype else 1.0 + at % 7 for at in range(count)]
    content_type = (described.get("parameters") or {}).get("content_type")
    parameters = {"content_type": content_type} if content_type else {}
    return Tensor(described["name"], datatype, shape, data, parameters)


def parsed(content: bytes) -> Any:
    """Parse JSON, without the tokens NaN and Infinity, which it does not have."""

    def refuse(token: str) -> None:
        raise AssertionError(f"the reply has {token}, so that it is not JSON")

    return json.loads(content, parse_constant=refuse)


def refused(response: httpx.Response, *statuses: int) -> str:
    """Assert that a request was refused as the protocol says, and return the message."""
    expected = statuses or _REFUSALS
    assert response.status_code in expected, f"{response.status_code}: {response.text[:300]}"
    body = parsed(response.content)
    assert isinstance(body, dict), body
    assert isinstance(body.get("error"), str), f'no {{"error": text}}: {body}'
    assert body["error"], "the message is empty"
    return str(body["error"])


def answered(response: httpx.Response, model: Model) -> dict[str, Output]:
    """Assert that a reply is an inference response of the model; return its outputs by name."""
    assert response.status_code == 200, f"{response.status_code}: {response.text[:300]}"
    header = response.headers.get(HEADER_LENGTH)
    head = response.content if header is None else response.content[: int(header)]
    body, tail = parsed(head), response.content[len(head) :]
    assert body["model_name"] == model.name
    assert isinstance(body.get("model_version") or "", str)
    outputs: dict[str, Output] = {}
    for output in body["outputs"]:
        elements, tail = _elements(output, tail)
        _check_parameters(output)
        shape = tuple(output["shape"])
        assert len(elements) == math.prod(shape), f"{len(elements)} elements in {shape}"
        assert output["name"] not in outputs, "two outputs have one name"
        outputs[output["name"]] = (output["datatype"], shape, tuple(elements))
    assert not tail, f"{len(tail)} bytes follow the last tensor"
    return outputs


def _elements(output: Mapping[str, Any], tail: bytes) -> tuple[list[Any], bytes]:
    """Return an output's elements, and the bytes of those after it."""
    assert isinstance(output["name"], str)
    assert output["datatype"] in DATATYPES, output["datatype"]
    size = (output.get("parameters") or {}).get("binary_data_size")
    assert (size is None) == ("data" in output), "either data or binary_data_size, never both"
    if size is None:
        elements = flat(output["data"])
        _check_kinds(output["datatype"], elements)
        return elements, tail
    assert len(tail) >= size, "the reply ends within a tensor"
    return decode(output["datatype"], tail[:size]), tail[size:]


def _check_kinds(datatype: str, elements: Sequence[Any]) -> None:
    for element in elements:
        if datatype == "BYTES":
            assert isinstance(element, str), f"{element!r} in BYTES"
        elif datatype == "BOOL":
            assert isinstance(element, bool), f"{element!r} in BOOL"
        elif datatype in NUMBERS and element is not None:
            assert isinstance(element, int | float), f"{element!r} in {datatype}"
            assert not isinstance(element, bool), f"{element!r} in {datatype}"


def _check_parameters(output: Mapping[str, Any]) -> None:
    for value in (output.get("parameters") or {}).values():
        assert isinstance(value, str | int | float | bool), f"a parameter is {value!r}"


def agree(elements: Sequence[Any], expected: Sequence[Any], tolerance: float = 1e-6) -> None:
    """Assert that two outputs' elements are equal, floating point numbers nearly so."""
    assert len(elements) == len(expected), f"{len(elements)} elements, not {len(expected)}"
    for element, other in zip(elements, expected, strict=True):
        if isinstance(element, float) and isinstance(other, int | float):
            near = math.isclose(element, other, rel_tol=tolerance, abs_tol=1e-9)
            assert near, f"{element} is not {other}"
        else:
            assert element == other, f"{element!r} is not {other!r}"


def is_binary(response: httpx.Response) -> dict[str, bool]:
    """Return for each output's name whether its elements are bytes after the JSON."""
    header = response.headers.get(HEADER_LENGTH)
    head = response.content if header is None else response.content[: int(header)]
    return {
        output["name"]: "binary_data_size" in (output.get("parameters") or {})
        for output in parsed(head)["outputs"]
    }
