"""A request that works, made from the schema's medians and most frequent categories."""

from typing import Any

from service.schema.contract import Feature, Schema


def example(schema: Schema) -> dict[str, Any]:
    """Give the body of a `POST /predict` that this schema accepts."""
    return {"instances": [{feature.name: example_value(feature) for feature in schema.features}]}


def example_value(feature: Feature) -> Any:
    """Give the feature's example as JSON shows it: 3 rather than 3.0."""
    value = feature.example
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def describe(feature: Feature) -> dict[str, Any]:
    """Give a feature as `GET /schema` and the 400 of `/predict` show it."""
    shown: dict[str, Any] = {
        "name": feature.name,
        "type": feature.type,
        "nullable": feature.nullable,
    }
    if feature.type == "text":
        shown["categories"] = list(feature.categories)
    return shown
