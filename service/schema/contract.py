"""What a version expects and what it answers: its features in order, and its classes."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from service.common.domain import Label, spelling
from service.common.errors import quoted

FeatureType = Literal["number", "text", "boolean"]
Written = Literal["", "plain", "decimal comma", "thousands", "percent"]
"""How the texts of a column are written that are read as numbers; empty where it has numbers."""

Value = float | str | bool

LARGEST = 1.7976931348623157e308
"""The largest finite float64."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One column that a version reads.

    In the matrix that decoders make, a number stands as it is, a boolean as 0.0 or 1.0, a text as
    the index of its category (unknown: -1.0), and whatever is missing as NaN. For the classifier, a
    missing text is replaced by `missing_code`, as the imputer in the fitted pipeline would
    (`service.schema.missing_texts`).
    """

    name: str
    type: FeatureType
    nullable: bool = False
    categories: tuple[str, ...] = ()
    missing_code: int = -1
    low: float = -LARGEST
    """The smallest number, inclusive, that the classifier can take."""
    high: float = LARGEST
    """The largest number, inclusive, that the classifier can take."""
    example: Value = 0.0
    """The median, or the most frequent category: a value, never a row, of the training data."""
    seen: tuple[float, float] | None = None
    """The smallest and largest number in training; None if the feature is not a number."""
    written: Written = ""
    """How a file writes its numbers, where training read them from texts."""
    importance: float | None = None
    """How well the feature alone told the classes apart in training, from 0 to 1 for the best one;
    None where that is not known."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The contract of one version; `schema.json` is this, encoded."""

    features: tuple[Feature, ...]
    classes: tuple[Label, ...]
    """In the order of the classifier's `classes_`: a prediction is an index into them."""
    target: str = "target"
    probabilities: bool = True
    unknown_categories: Literal["refuse", "ignore"] = "refuse"
    missing: tuple[str, ...] | None = None
    """Texts that mean a missing value in a file; None for the usual ones, among numbers."""
    excluded: tuple[str, ...] = ()
    """Columns that training left out; a file of rows may still have them."""


_decoder = msgspec.json.Decoder(Schema, strict=True)


def encode(schema: Schema) -> bytes:
    """Return the JSON that `decode` reads."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=1)


def decode(data: bytes) -> Schema:
    """Decode a schema; raises ValueError (msgspec's) for anything else."""
    schema = _decoder.decode(data)
    names = [feature.name for feature in schema.features]
    if not names or len(set(names)) != len(names):
        raise ValueError("a schema has features, each of another name")
    if len(schema.classes) < 2:
        raise ValueError("a schema has at least two classes")
    return schema


def contract_difference(new: Schema, in_use: Schema) -> str:
    """Return how two contracts differ; empty where their features and classes are the same."""
    features = {feature.name: feature.type for feature in new.features}
    known = {feature.name: feature.type for feature in in_use.features}
    for name in features.keys() - known.keys():
        return f"it has no feature {quoted(name)}"
    for name in known.keys() - features.keys():
        return f"it has the feature {quoted(name)}, and the new version does not"
    for name, kind in features.items():
        if kind != known[name]:
            return f"its feature {quoted(name)} is a {known[name]}, not a {kind}"
    classes = {(type(label), label) for label in new.classes}
    known_classes = {(type(label), label) for label in in_use.classes}
    for _, label in classes - known_classes:
        return f"it has no class {quoted(spelling(label))}"
    for _, label in known_classes - classes:
        return f"it has the class {quoted(spelling(label))}, and the new version does not"
    return ""
