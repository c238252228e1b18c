"""A request that works, made from the schema's medians and most frequent categories."""

import csv
import io
from collections.abc import Collection
from typing import Any

import orjson

from service.common.domain import spelling
from service.schema.contract import Feature, Schema

_MOST_BYTES = 16 * 1024
"""Of an example, and of the features shown, in the reply to a request that was wrong."""

_MOST_FEATURES = 20
_MOST_CATEGORIES = 200


class RequestHelp:
    """Helps a client that sent an invalid request, in a limited number of bytes."""

    def __init__(self, schema: Schema) -> None:
        self.example = example(schema)
        self.csv = as_csv(schema)
        self._features = {feature.name: at for at, feature in enumerate(schema.features)}
        self._schema = schema
        self.is_short = len(orjson.dumps(self.example)) <= _MOST_BYTES
        """Whether the example is short enough for the reply to a wrong request."""

    def members(self, concerned: Collection[str]) -> tuple[dict[str, Any], bool]:
        """Return `expected`, the features concerned, and `example`; and whether that is all.

        A long example, features after the 20th, and categories that are too many are left out.
        """
        shown = []
        places = sorted(self._features[name] for name in concerned)
        whole = self.is_short and len(places) <= _MOST_FEATURES
        room = _MOST_BYTES
        for place in places[:_MOST_FEATURES]:
            feature = self._schema.features[place]
            item = describe(feature)
            if len(feature.categories) <= _MOST_CATEGORIES:
                room -= len(orjson.dumps(item))
            if room < 0 or len(feature.categories) > _MOST_CATEGORIES:
                whole = item.pop("categories", None) is None and whole
            shown.append(item)
        members: dict[str, Any] = {"expected": {"features": shown}} if shown else {}
        return {**members, "example": self.example} if self.is_short else members, whole


def example(schema: Schema) -> dict[str, Any]:
    """Return the body of a `POST /predict` that this schema accepts."""
    return {"instances": [{feature.name: example_value(feature) for feature in schema.features}]}


def example_value(feature: Feature) -> Any:
    """Return the feature's example as JSON shows it: 3 rather than 3.0."""
    value = feature.example
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def as_csv(schema: Schema) -> str:
    """Return the same rows as a CSV file."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([feature.name for feature in schema.features])
    writer.writerow([spelling(example_value(feature)) for feature in schema.features])
    return lines.getvalue()


def describe(feature: Feature) -> dict[str, Any]:
    """Return a feature as the 400 of `/predict` shows it."""
    shown: dict[str, Any] = {
        "name": feature.name,
        "type": feature.type,
        "nullable": feature.nullable,
    }
    if feature.type == "text":
        shown["categories"] = list(feature.categories)
    return shown


def describe_in_full(feature: Feature) -> dict[str, Any]:
    """Return a feature as `GET /schema` shows it: with what is known of it from training."""
    shown = describe(feature)
    if feature.seen is not None:
        shown["minimum"], shown["maximum"] = feature.seen
    if feature.importance is not None:
        shown["importance"] = feature.importance
    return shown
