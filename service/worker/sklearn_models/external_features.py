"""The features of a version that others logged, from its signature in MLflow and its example."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from service.common.errors import clip
from service.schema.contract import Feature

LARGEST_TEXT = 4 * 2**20
"""The most bytes of a file that describes a version."""

_TYPES: Mapping[object, Literal["number", "boolean"]] = {
    "double": "number",
    "float": "number",
    "long": "number",
    "integer": "number",
    "boolean": "boolean",
}
"""What MLflow's types of columns are here."""


@dataclass(frozen=True, slots=True)
class _Column:
    type: Literal["number", "boolean"] = "number"
    is_optional: bool = False


def not_served(name: object, kind: object) -> ValueError:
    """Return the error about a feature of a type that is not served."""
    return ValueError(
        f"its feature {clip(name)!r} is of type {clip(kind)}; "
        "foreign versions are served where all features are numbers or booleans"
    )


def read_features(
    source: Path,
    signature: Mapping[str, Any],
    width: int,
    names: Sequence[str] | None,
    largest: float,
) -> tuple[Feature, ...]:
    """Return the features of a model that reads `width` columns, none of them nullable yet.

    `names` are those that the model itself knows. Raises ValueError for a type that is not served.
    """
    columns = _signed(signature)
    names = list(names or columns) or [f"x{index}" for index in range(width)]
    if len(names) != width or len(set(names)) != width:
        raise ValueError(f"its signature names {len(names)} features, and it reads {width}")
    values = _input_example(source, names)
    return tuple(
        _feature(name, columns.get(name, _Column()), value, largest)
        for name, value in zip(names, values, strict=True)
    )


def optional_features(signature: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the features that the signature lets be missing."""
    return frozenset(name for name, column in _signed(signature).items() if column.is_optional)


def with_missing(
    features: Sequence[Feature], optional: frozenset[str], takes_missing: Callable[[int], bool]
) -> tuple[Feature, ...]:
    """Make those features nullable that may be missing, and that the model takes so."""
    return tuple(
        Feature(
            feature.name,
            feature.type,
            nullable=feature.name in optional and takes_missing(index),
            low=feature.low,
            high=feature.high,
            example=feature.example,
        )
        for index, feature in enumerate(features)
    )


def _feature(name: str, column: _Column, value: float, largest: float) -> Feature:
    if column.type == "boolean":
        return Feature(name, "boolean", example=bool(value))
    return Feature(name, "number", low=-largest, high=largest, example=value)


def _signed(signature: Mapping[str, Any]) -> dict[str, _Column]:
    """Return the columns of MLflow's signature by name; none where it describes a tensor."""
    text = signature.get("inputs")
    try:
        inputs = json.loads(text) if isinstance(text, str) else []
    except (json.JSONDecodeError, RecursionError):
        inputs = []
    items = [item for item in inputs if isinstance(item, dict) and "name" in item]
    if not items or items[0].get("type") == "tensor":
        return {}
    for item in items:
        if not isinstance(item.get("type"), str) or item["type"] not in _TYPES:
            raise not_served(item["name"], item.get("type"))
    return {
        str(item["name"]): _Column(
            _TYPES[item["type"]], item.get("required") is False or item.get("optional") is True
        )
        for item in items
    }


def _input_example(source: Path, names: Sequence[str]) -> list[float]:
    """Return the first row of the example that was logged with it, else zeros."""
    path = source / "input_example.json"
    try:
        example = json.loads(path.read_text()) if path.stat().st_size < LARGEST_TEXT else {}
        row = example["data"][0]
        columns = [str(name) for name in example.get("columns", names)]
        values = {name: float(value) for name, value in zip(columns, row, strict=True)}
        if all(isfinite(values[name]) for name in names):
            return [values[name] for name in names]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        pass
    return [0.0] * len(names)
