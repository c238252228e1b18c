"""How a reader asks for a prediction, and what the answer says, in each protocol.

Needs only what `target` does.
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import orjson

from tests.history.target import INSTANCE, MODEL

_HEAD_BYTES = "inference-header-content-length"


class Told(NamedTuple):
    """The content of an answer: the version that it names, if it names one, and the label."""

    served: str | None
    label: str


class Protocol(NamedTuple):
    """A request for the label of `INSTANCE`, and what reads the answer."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    read: Callable[[bytes, Mapping[str, str]], Told]


def _read_own(content: bytes, headers: Mapping[str, str]) -> Told:  # noqa: ARG001
    told = json.loads(content)
    return Told(f"{told['model']}/{told['version']}", str(told["predictions"][0]))


def _read_tensors(content: bytes, headers: Mapping[str, str]) -> Told:
    size = int(headers[_HEAD_BYTES])
    told = json.loads(content[:size])
    label = content[size + 4 :].decode()
    return Told(f"{told['model_name']}/{told['model_version']}", label)


def _read_scoring(content: bytes, headers: Mapping[str, str]) -> Told:  # noqa: ARG001
    return Told(None, str(json.loads(content)["predictions"][0]))


_JSON = {"content-type": "application/json"}
_VALUES = list(INSTANCE.values())
_TAIL = struct.pack(f"<{len(_VALUES)}d", *_VALUES)
_TENSOR = {
    "name": "x",
    "shape": [1, len(_VALUES)],
    "datatype": "FP64",
    "parameters": {"binary_data_size": len(_TAIL)},
}
_HEAD = orjson.dumps({"inputs": [_TENSOR], "parameters": {"binary_data_output": True}})
_FRAME = {"columns": list(INSTANCE), "data": [_VALUES]}

OWN = Protocol("/predict", orjson.dumps({"instances": [INSTANCE]}), _JSON, _read_own)
INFERENCE = Protocol(
    f"/v2/models/{MODEL}/infer",
    _HEAD + _TAIL,
    {"content-type": "application/octet-stream", _HEAD_BYTES: str(len(_HEAD))},
    _read_tensors,
)
SCORING = Protocol("/invocations", orjson.dumps({"dataframe_split": _FRAME}), _JSON, _read_scoring)
