"""The bodies of requests for inference and to the repository, as OpenAPI shows them."""

from typing import Any

from service.api.inference.requests import MOST_DIMENSIONS, OUTPUTS
from service.api.inference.tensors import DATATYPES

_VALUE = {"type": ["string", "number", "boolean", "null"]}
_PARAMETERS = {"type": ["object", "null"], "additionalProperties": _VALUE}
_TEXT = {"type": ["string", "null"]}


def _object(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": properties,
    }


_INPUT = _object(
    ["name", "shape", "datatype"],
    {
        "name": {"type": "string"},
        "shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 2**31},
            "maxItems": MOST_DIMENSIONS,
        },
        "datatype": {"enum": list(DATATYPES)},
        "data": {"type": "array", "description": "Flat or nested; none where it is in binary"},
        "parameters": _PARAMETERS,
    },
)
_OUTPUT = _object(["name"], {"name": {"enum": list(OUTPUTS)}, "parameters": _PARAMETERS})

INFER_REQUEST = _object(
    ["inputs"],
    {
        "inputs": {"type": "array", "items": _INPUT},
        "outputs": {"type": ["array", "null"], "items": _OUTPUT},
        "id": _TEXT,
        "parameters": _PARAMETERS,
        "model_name": _TEXT,
        "model_version": _TEXT,
    },
)


def _optional(properties: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a body that may be left out."""
    content = {"application/json": {"schema": _object([], properties), "example": example}}
    return {"requestBody": {"required": False, "content": content}}


def _parameters(**more: Any) -> dict[str, Any]:
    version = {"type": ["string", "null"], "pattern": "^[1-9][0-9]{0,8}$"}
    return {"parameters": {**_object([], {"version": version, **more}), "type": ["object", "null"]}}


INDEX_BODY = _optional({"ready": {"type": ["boolean", "null"]}}, {"ready": True})
LOAD_BODY = _optional(_parameters(), {"parameters": {"version": "1"}})
UNLOAD_BODY = _optional(_parameters(unload_dependents={}), {})
