"""A ModelInferRequest to what REST's codec knows: the same parts, checks and sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from service.api.inference.codec import InferenceCodec
from service.api.inference.requests import InferRequest, checked_request
from service.api.inference.tensors import BYTES, Place, Values, from_binary, from_items
from service.common.errors import BodyTooLarge, InvalidInput, Problem, clip
from service.grpc.messages import message
from service.grpc.replies import write_reply
from service.models.classifier import Floats, Labels
from service.serving.question import Question

_MOST_PARTS = 1000
"""The most inputs, or twice the features where that is more; and the most parameters or outputs.

An empty one takes two bytes on the wire, and a hundred times as much afterwards.
"""
_MOST_DIMENSIONS = 100
"""Of a shape that are looked at; a shape of fewer is refused for its length already."""

_Request = message("ModelInferRequest")

CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""The field of InferTensorContents that has the values of a datatype; FP16 has none."""


class MessageReader:
    """Reads the message of one request for a version."""

    def __init__(self, codec: InferenceCodec) -> None:
        self._codec = codec

    def quick(self, body: bytes) -> Question[bytes] | None:
        """Read it with compiled decoders alone; None says nothing about it: use `careful`."""
        try:
            return self._question(body, careful=False)
        except (InvalidInput, BodyTooLarge):
            return None

    def careful(self, body: bytes) -> Question[bytes]:
        """Read it slowly; raises InvalidInput with what is wrong, or BodyTooLarge."""
        question = self._question(body, careful=True)
        assert question is not None
        return question

    def _question(self, body: bytes, careful: bool) -> Question[bytes] | None:
        codec = self._codec
        received = parsed(_Request, body)
        request = _read(received, max(_MOST_PARTS, 2 * codec.width))
        matrix = codec.matrix(request, careful)
        if matrix is None:
            return None
        is_raw = len(received.raw_input_contents) > 0

        def write(labels: Labels, chances: Floats | None) -> bytes:
            return write_reply(codec.encoder, request, is_raw, labels, chances)

        return Question(matrix, request.wants_probabilities, write)


def parsed(kind: Any, body: bytes, named: Any = None) -> Any:
    """Return a message of this class; raises InvalidInput, which calls it like `named`."""
    try:
        return kind.FromString(body)
    except DecodeError as error:
        name = (named or kind).DESCRIPTOR.name
        raise refused(f"is no {name}") from error


def refused(what: str) -> InvalidInput:
    """Return the error that says this of a message."""
    return InvalidInput(f"The message {what}.", [Problem("", what)])


def _read(received: Any, most_inputs: int) -> InferRequest:
    inputs, outputs = received.inputs, received.outputs
    _check_number(inputs, "inputs", most_inputs)
    _check_number(outputs, "outputs", _MOST_PARTS)
    parts = {
        "id": received.id or None,
        "parameters": _parameters(received.parameters),
        "inputs": [
            {
                "name": item.name,
                "datatype": item.datatype,
                "shape": list(item.shape[:_MOST_DIMENSIONS]),
                "parameters": _parameters(item.parameters),
            }
            for item in inputs
        ],
        "outputs": [
            {"name": item.name, "parameters": _parameters(item.parameters)} for item in outputs
        ],
    }
    raw = received.raw_input_contents
    if not raw:
        return checked_request(parts, lambda place: _typed(inputs[place.number].contents, place))
    if len(raw) != len(inputs):
        raise refused(
            f"has {len(inputs)} inputs and {len(raw)} raw_input_contents; each input needs its own"
        )
    return checked_request(parts, lambda place: _raw(inputs[place.number], raw, place))


def _check_number(items: Sequence[Any], what: str, most: int) -> None:
    if len(items) > most:
        raise refused(f"has {len(items):,} {what}, more than {most:,}")


def _parameters(entries: Sequence[Any]) -> dict[str, Any] | None:
    return parameters_of(entries) if entries else None


def parameters_of(entries: Sequence[Any]) -> dict[str, Any]:
    """Return parameters by name, as JSON has them; raises InvalidInput."""
    _check_number(entries, "parameters", _MOST_PARTS)
    parameters: dict[str, Any] = {}
    for entry in entries:
        if entry.key in parameters:
            raise refused(f"has the parameter {clip(entry.key)!r} twice")
        kind = entry.value.WhichOneof("choice")
        parameters[entry.key] = None if kind is None else getattr(entry.value, kind)
    return parameters


def _typed(contents: Any, place: Place) -> Values:
    """Return the values of an input that stand in the field for its datatype."""
    found = [field.name for field, _ in contents.ListFields()]
    wanted = CONTENTS.get(place.datatype)
    if wanted is None and place.datatype == "FP16":
        raise place.refuse("is of FP16, which only raw_input_contents can hold", "datatype")
    if wanted is not None and any(name != wanted for name in found):
        raise place.refuse(
            f"has {' and '.join(found)}; the values of {place.datatype} stand in {wanted} alone",
            "contents",
        )
    return from_items([] if wanted is None else getattr(contents, wanted), place)


def _raw(item: Any, raw: Sequence[bytes], place: Place) -> Values:
    if item.contents.ListFields():
        raise place.refuse("has both contents and raw_input_contents; send one", "contents")
    return from_binary(memoryview(raw[place.number]), place)
