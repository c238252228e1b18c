"""A request for inference, in JSON with or without binary tensors behind it, to its parts."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from service.api.inference.tensors import Place, Tensor, Values, from_binary, from_json
from service.common.errors import InvalidInput, Problem, clip, quoted
from service.schema import strict_json
from service.schema.decoder import Limits

Parameters = dict[str, str | int | float | bool | None] | None

PREDICT, PROBABILITIES = "predict", "predict_proba"
OUTPUTS = (PREDICT, PROBABILITIES)


MOST_DIMENSIONS = 16
"""Of a tensor, as the product of its shape is taken, and written in what is said of it."""

_Dimension = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class _Input(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    shape: Annotated[list[_Dimension], msgspec.Meta(max_length=MOST_DIMENSIONS)]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters | msgspec.UnsetType = msgspec.UNSET


class _Output(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    parameters: Parameters | msgspec.UnsetType = msgspec.UNSET


class _Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputs: list[_Input]
    id: str | msgspec.UnsetType | None = msgspec.UNSET
    parameters: Parameters | msgspec.UnsetType = msgspec.UNSET
    outputs: list[_Output] | msgspec.UnsetType | None = msgspec.UNSET
    model_name: str | msgspec.UnsetType | None = msgspec.UNSET
    """Not read, nor is the version: KServe's client repeats what is in the URL."""
    model_version: str | msgspec.UnsetType | None = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Request)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that a request asks for."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a request brings, and what it asks for."""

    tensors: list[Tensor]
    outputs: tuple[Wanted, ...]
    by_column: bool
    """Whether it says that each input is a column."""
    id: str | None = None

    @property
    def wants_probabilities(self) -> bool:
        """Whether it asks for probabilities."""
        return any(output.name == PROBABILITIES for output in self.outputs)


def read_request(
    body: bytes, head_bytes: int | None, limits: Limits, careful: bool
) -> InferRequest | None:
    """Read a request whose first `head_bytes` are JSON, all of it where that is None.

    Raises InvalidInput or BodyTooLarge. Without `careful` None says that it has to be read with it:
    keys may be there twice, which only the slow parser sees.
    """
    if head_bytes is not None and head_bytes > len(body):
        raise _refused(
            f"Inference-Header-Content-Length is {head_bytes}, and the body has {len(body)} bytes"
        )
    head = body if head_bytes is None else body[:head_bytes]
    if careful:
        # No limit of rows: their numbers may be one long list, or a list for each column.
        containers = limits.rows * strict_json.CONTAINERS_A_ROW
        strict_json.parse_input(head, limits.depth, max_containers=containers)
    try:
        request = _decoder.decode(head)
        if not careful and not _has_each_key_once(request, head):
            return None
        data = _Data(request.inputs, memoryview(body)[len(head) :])
        read = _checked(request, data.values)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Of data, too, in which the decoder only looks for the end: no UTF-8, or nested too deep.
        if not careful:
            return None
        raise _refused(_sentence(str(error))) from error
    data.check_end()
    return read


def checked_request(parts: Mapping[str, Any], values: Callable[[Place], Values]) -> InferRequest:
    """Return a request that another encoding than JSON brought; raises InvalidInput.

    `parts` are those of the JSON without the data, and `values` returns the data of an input.
    """
    try:
        request = msgspec.convert(parts, _Request)
    except msgspec.ValidationError as error:
        raise _refused(_sentence(str(error))) from error
    return _checked(request, values)


def _checked(request: _Request, values: Callable[[Place], Values]) -> InferRequest:
    tensors = _tensors(request.inputs, values)
    outputs = _outputs(request)
    identifier = request.id if isinstance(request.id, str) else None
    by_column = _parameter(request.parameters, "content_type") == "pd"
    return InferRequest(tensors, outputs, by_column, identifier)


def _refused(what: str, pointer: str = "") -> InvalidInput:
    return InvalidInput(f"{what}.", [Problem(pointer, what)])


def _sentence(message: str) -> str:
    """Return msgspec's message as what is said of a request."""
    what, _, path = message.partition(" - at `")
    where = path.rstrip("`").removeprefix("$").replace("[...]", "[]").strip(".")
    what = what.replace("`", "'")
    if found := _KEY.fullmatch(what):
        what = f"{found[2]} {'is missing' if found[1] == 'missing required' else 'is no key here'}"
        return f"{what}, in {where}" if where else what
    return f"{where}: {what[0].lower()}{what[1:]}" if where else what


_KEY = re.compile(r"Object (missing required|contains unknown) field ('.*')", re.DOTALL)


def _has_each_key_once(request: _Request, head: bytes) -> bool:
    """Return whether there are as many colons as keys that were found, and texts with colons."""
    if b"\\" in head:
        return False
    colons = _keys(request, 1)
    for item in request.inputs:
        colons += _keys(item, 3)
        if isinstance(item.data, msgspec.Raw):
            colons += bytes(item.data).count(b":")
    for output in request.outputs or ():
        colons += _keys(output, 1)
    return colons == head.count(b":")


def _keys(part: Any, required: int) -> int:
    """Return the number of colons that a part of a request has, without those of parts within."""
    count = required + sum(
        getattr(part, name) is not msgspec.UNSET for name in part.__struct_fields__[required:]
    )
    for key in ("name", "id", "datatype", "model_name", "model_version"):
        text = getattr(part, key, "")
        count += text.count(":") if isinstance(text, str) else 0
    parameters = part.parameters
    if isinstance(parameters, dict):
        count += len(parameters)
        for pair in parameters.items():
            count += sum(text.count(":") for text in pair if isinstance(text, str))
    return count


def _parameter(parameters: Parameters | msgspec.UnsetType, name: str) -> Any:
    return parameters.get(name) if isinstance(parameters, dict) else None


def _tensors(inputs: list[_Input], values: Callable[[Place], Values]) -> list[Tensor]:
    tensors: list[Tensor] = []
    names: set[str] = set()
    for index, item in enumerate(inputs):
        place = Place(index, item.name, item.datatype, item.shape)
        if item.name in names:
            raise place.refuse("is there twice", "name")
        names.add(item.name)
        _check_parameters(item, place)
        tensors.append(Tensor(item.name, tuple(item.shape), values(place)))
    return tensors


class _Data:
    """The data of inputs, each in its JSON, or as the next bytes behind all of the JSON."""

    def __init__(self, inputs: list[_Input], binary: memoryview) -> None:
        self._inputs = inputs
        self._left = binary

    def values(self, place: Place) -> Values:
        """Return those of the next input; raises InvalidInput."""
        item, left = self._inputs[place.number], self._left
        size = _parameter(item.parameters, "binary_data_size")
        if size is None:
            if not isinstance(item.data, msgspec.Raw):
                raise place.refuse("has no data")
            return from_json(bytes(item.data), place)
        if item.data is not msgspec.UNSET:
            raise place.refuse("has both data and binary_data_size")
        if type(size) is not int or not 0 <= size <= len(left):
            raise place.refuse(
                f"has a binary_data_size of {clip(size, 24)}, and {len(left)} bytes are left "
                "behind the JSON"
            )
        self._left = left[size:]
        return from_binary(left[:size], place)

    def check_end(self) -> None:
        """Raise InvalidInput where bytes are left."""
        if self._left:
            raise _refused(f"{len(self._left)} bytes behind the JSON belong to no input")


def _check_parameters(item: _Input, place: Place) -> None:
    if _parameter(item.parameters, "shared_memory_region") is not None:
        raise place.refuse("is in shared memory, which is not read; send its data", "parameters")
    if _parameter(item.parameters, "content_type") == "base64":
        raise place.refuse("is in base64, which is not read; send texts as they are", "parameters")


def _outputs(request: _Request) -> tuple[Wanted, ...]:
    whole = _flag(request.parameters, "binary_data_output", "/parameters") or False
    if not request.outputs:
        return (Wanted(PREDICT, whole),)
    wanted: list[Wanted] = []
    for index, output in enumerate(request.outputs):
        pointer = f"/outputs/{index}"
        if output.name not in OUTPUTS:
            known = " and ".join(map(repr, OUTPUTS))
            raise _refused(f"There is no output {quoted(output.name)}; there are {known}", pointer)
        if any(output.name == other.name for other in wanted):
            raise _refused(f"The output {quoted(output.name)} is there twice", pointer)
        for unread in ("shared_memory_region", "classification"):
            if _parameter(output.parameters, unread) is not None:
                raise _refused(f"The output {quoted(output.name)} cannot have {unread}", pointer)
        binary = _flag(output.parameters, "binary_data", pointer)
        wanted.append(Wanted(output.name, whole if binary is None else binary))
    return tuple(wanted)


def _flag(parameters: Parameters | msgspec.UnsetType, name: str, pointer: str) -> bool | None:
    value = _parameter(parameters, name)
    if value is not None and not isinstance(value, bool):
        raise _refused(f"{name} must be true or false", pointer)
    return value
