"""What a version takes at `POST /predict`, as JSON Schema: for OpenAPI and for generators."""

from collections.abc import Mapping
from typing import Any

from service.schema.contract import Feature, Schema

MOST = 512
"""The most features, and categories in sum, that are shown: OpenAPI is sent as a whole."""


def request_schema(schema: Schema, max_rows: int) -> dict[str, Any] | None:
    """Return a JSON Schema of the bodies that a version takes; None where that would be long.

    One thing it cannot say: numbers within their bounds may together be too large for a classifier
    that adds them up.
    """
    features = schema.features
    if len(features) + sum(len(feature.categories) for feature in features) > MOST:
        return None
    ignores = schema.unknown_categories == "ignore"
    cells = {feature.name: _cell(feature, ignores) for feature in features}
    forms: list[dict[str, Any]] = [
        {
            "type": "object",
            "properties": cells,
            "required": list(cells),
            "additionalProperties": False,
        }
    ]
    if len({feature.type for feature in features}) == 1:
        forms.append(_array(list(cells.values())))
    lists = [
        {"type": "array", "items": form, "minItems": 1, "maxItems": max_rows} for form in forms
    ]
    return {
        "title": "PredictRequest",
        "description": "Instances to classify: objects keyed by feature, or, where all features "
        "are of one type, arrays in their order.",
        "type": "object",
        "properties": {
            "instances": lists[0] if len(lists) == 1 else {"anyOf": lists},
            "probabilities": _probabilities(schema),
        },
        "required": ["instances"],
        "additionalProperties": False,
    }


def _probabilities(schema: Schema) -> Mapping[str, Any]:
    if schema.probabilities:
        return {"type": "boolean", "default": False}
    return {"const": False, "description": "This model has none."}


def _array(cells: list[dict[str, Any]]) -> dict[str, Any]:
    length = {"minItems": len(cells), "maxItems": len(cells)}
    if all(cell == cells[0] for cell in cells):
        return {"type": "array", "items": cells[0], **length}
    return {"type": "array", "prefixItems": cells, "items": False, **length}


def _cell(feature: Feature, ignores_unknown: bool) -> dict[str, Any]:
    """Describe a feature's values."""
    shown: dict[str, Any]
    if feature.type == "number":
        shown = {"type": "number", "minimum": feature.low, "maximum": feature.high}
    elif feature.type == "boolean":
        shown = {"type": "boolean"}
    else:
        shown = {"type": "string"}
        if not ignores_unknown:
            shown["enum"] = list(feature.categories)
    if not feature.nullable:
        return shown
    if "enum" in shown:
        shown["enum"] = [*shown["enum"], None]
    return {**shown, "type": [shown["type"], "null"]}
