"""A client of gRPC for tests: a real channel, and the service's own messages."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
import numpy as np

from service.grpc.messages import message
from service.grpc.requests import CONTENTS

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
SECONDS = 30


class Reply(NamedTuple):
    """The reply to a call and its metadata."""

    message: Any
    headers: dict[str, str]


class Failure(NamedTuple):
    """The status of a call that failed, and its metadata."""

    code: str
    details: str
    trailers: dict[str, str]


class GrpcClient:
    """Calls methods by their names."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def call(
        self,
        method: str,
        request: Any,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
        service: str = SERVICE,
    ) -> Reply:
        """Call a method and return the reply; `request` is a message or its bytes."""
        sent = request if isinstance(request, bytes) else request.SerializeToString()
        kind = message(reply or f"{method}Response")
        stub = self.channel.unary_unary(f"/{service}/{method}", None, kind.FromString)
        pairs = list((headers or {}).items())
        answered, done = stub.with_call(sent, timeout=SECONDS, metadata=pairs)
        return Reply(answered, _texts(done.initial_metadata()))

    def check(self, service: str = "", headers: Mapping[str, str] | None = None) -> Reply:
        """Check the health of a service."""
        request = message("HealthCheckRequest")(service=service)
        return self.call("Check", request, headers, "HealthCheckResponse", HEALTH)

    def fail(
        self,
        method: str,
        request: Any,
        headers: Mapping[str, str] | None = None,
        reply: str = "",
        service: str = SERVICE,
    ) -> Failure:
        """Call a method, and return the status that it fails with."""
        try:
            answered = self.call(method, request, headers, reply, service)
        except grpc.RpcError as error:
            code: str = error.code().name
            return Failure(code, error.details(), _texts(error.trailing_metadata()))
        raise AssertionError(answered)


def _texts(metadata: Sequence[tuple[str, str]] | None) -> dict[str, str]:
    return dict(metadata or ())


@contextmanager
def grpc_client(port: int) -> Iterator[GrpcClient]:
    """Open a channel while the block runs."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        yield GrpcClient(channel)


def infer_request(
    body: dict[str, Any], model: str = "iris", version: str = "", raw: bool = False
) -> Any:
    """Return a request for inference in REST's JSON as a message, with typed or raw contents."""
    request = message("ModelInferRequest")(
        model_name=model, model_version=version, id=body.get("id", "")
    )
    _add_parameters(request.parameters, body)
    for item in body.get("inputs", ()):
        tensor = request.inputs.add(
            name=item["name"], datatype=item["datatype"], shape=item["shape"]
        )
        _add_parameters(tensor.parameters, item)
        values = item.get("data", ())
        if raw:
            request.raw_input_contents.append(_raw(values, item["datatype"]))
            continue
        if item["datatype"] == "BYTES":
            values = [text.encode() for text in values]
        field = CONTENTS.get(item["datatype"], "fp64_contents")
        getattr(tensor.contents, field).extend(values)
    for item in body.get("outputs", ()):
        output = request.outputs.add(name=item["name"])
        _add_parameters(output.parameters, item)
    return request


_PARAMETER = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}


def _add_parameters(parameters: Any, item: dict[str, Any]) -> None:
    for name, value in item.get("parameters", {}).items():
        setattr(parameters.add(key=name).value, _PARAMETER[type(value)], value)


def _raw(values: Sequence[Any], datatype: str) -> bytes:
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.array(values, _NUMPY[datatype]).tobytes()


_NUMPY = {
    "BOOL": "?",
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}


def values_of(reply: Any) -> dict[str, list[Any]]:
    """Return the values of each output of a reply, typed or raw; texts are decoded."""
    return {
        output.name: (
            _unpacked(reply.raw_output_contents[number], output.datatype)
            if reply.raw_output_contents
            else _typed(output)
        )
        for number, output in enumerate(reply.outputs)
    }


def _typed(output: Any) -> list[Any]:
    values = list(getattr(output.contents, CONTENTS[output.datatype]))
    return [text.decode() for text in values] if output.datatype == "BYTES" else values


def _unpacked(data: bytes, datatype: str) -> list[Any]:
    if datatype != "BYTES":
        unpacked: list[Any] = np.frombuffer(data, _NUMPY[datatype]).tolist()
        return unpacked
    texts = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        texts.append(data[4:end].decode())
        data = data[end:]
    return texts
