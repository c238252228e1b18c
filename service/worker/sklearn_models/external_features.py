"""The features of a version that others logged, from its signature in MLflow and its example."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

from service.common.errors import clip
from service.schema.contract import Feature, FeatureType
from service.worker.sklearn_models.external_pipeline import Text

LARGEST_TEXT = 4 * 2**20
"""The most bytes of a file that describes a version."""

_TYPES: Mapping[str, FeatureType] = {
    "double": "number",
    "float": "number",
    "long": "number",
    "integer": "number",
    "boolean": "boolean",
    "string": "text",
}
"""What MLflow's types of columns are here."""


@dataclass(frozen=True, slots=True)
class _Column:
    type: str = "double"
    is_optional: bool = False


def not_served(name: object, kind: object, why: object = "") -> ValueError:
    """Return the error about a feature of a type that is not served."""
    reason = f" ({clip(why, 100)})" if str(why) else ""
    return ValueError(
        f"its feature {clip(name)!r} is of type {clip(kind)}; foreign versions are served where "
        "features are numbers, booleans, or text that a ColumnTransformer one-hot encodes after "
        f"the numbers{reason}"
    )


def read_features(
    source: Path,
    signature: Mapping[str, Any],
    width: int,
    names: Sequence[str] | None,
    bounds: Sequence[tuple[float, float]],
    texts: Mapping[str, Text] = MappingProxyType({}),
) -> tuple[Feature, ...]:
    """Return the features of a model that reads `width` columns, none of them nullable yet.

    `names` are those that the model itself knows, `texts` the columns that it reads as text.
    Raises ValueError for a type that is not served.
    """
    columns = _signed(signature)
    names = list(names or columns) or [f"x{index}" for index in range(width)]
    if len(names) != width or len(set(names)) != width:
        raise ValueError(f"its signature names {len(names)} features, and it reads {width}")
    values = _input_example(source, names)
    return tuple(
        _text(name, texts[name])
        if name in texts
        else _feature(name, columns.get(name, _Column()), value, limits)
        for name, value, limits in zip(names, values, bounds, strict=True)
    )


def optional_features(signature: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the features that the signature lets be missing."""
    return frozenset(name for name, column in _signed(signature).items() if column.is_optional)


def with_missing(
    features: Sequence[Feature], optional: frozenset[str], takes_missing: Callable[[int], bool]
) -> tuple[Feature, ...]:
    """Make those features nullable that may be missing, and that the model takes so."""
    return tuple(
        replace(feature, nullable=feature.name in optional and takes_missing(index))
        for index, feature in enumerate(features)
    )


def _text(name: str, text: Text) -> Feature:
    return Feature(
        name,
        "text",
        categories=text.categories,
        missing_code=text.missing_code,
        example=text.categories[0],
    )


def _feature(name: str, column: _Column, value: float, bounds: tuple[float, float]) -> Feature:
    kind = _TYPES.get(column.type)
    if kind == "boolean":
        return Feature(name, "boolean", example=bool(value))
    if kind != "number":
        raise not_served(name, column.type)
    low, high = bounds
    return Feature(name, "number", low=low, high=high, example=value)


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
    return {
        str(item["name"]): _Column(
            str(item.get("type")), item.get("required") is False or item.get("optional") is True
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
