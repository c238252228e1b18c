"""What a version was trained on, as counts in bins: what its predictions are compared with.

`reference.json` is this, encoded. It holds counts and edges of bins, and no row. A feature's cell
is its number in the matrix that decoders make: see `service.schema.contract.Feature`.
"""

from dataclasses import dataclass
from math import isfinite

import msgspec

from service.schema.contract import Schema

FILE = "reference.json"

QUANTILES = 10
"""Bins of a number, where its values leave as many apart."""
MOST_CATEGORIES = 50
"""Categories of a text that have a bin of their own; the others share one."""
CONFIDENCE_BINS = 10
"""Bins of the largest probability, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """The values of one feature in the rows that the version was fitted on."""

    name: str
    counts: tuple[int, ...]
    """Rows in each bin: of a number one more than `edges`; of a boolean false and true; of a text
    its `categories`, and then all others together."""
    missing: int = 0
    """Rows without a value."""
    edges: tuple[float, ...] = ()
    """The inner edges of a number's bins, increasing; a value on an edge is in the bin below."""
    categories: tuple[int, ...] = ()
    """The most frequent categories of a text, by their index in the schema."""
    below: int = 0
    above: int = 0
    """Held-out rows below the smallest and above the largest number of the fitted rows."""


@dataclass(frozen=True, slots=True)
class AnswerReference:
    """The version's answers to its held-out rows."""

    counts: tuple[int, ...]
    """Rows that were given each class, in the schema's order."""
    confidence: tuple[int, ...] | None = None
    """Rows by their largest probability; None for a classifier without probabilities."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The fitted rows and the answers of one version."""

    rows: int
    features: tuple[FeatureReference, ...]
    """In the schema's order."""
    answers: AnswerReference


_decoder = msgspec.json.Decoder(Reference, strict=True)


def encode(reference: Reference) -> bytes:
    """Return the JSON that `decode` reads."""
    return msgspec.json.encode(reference)


def decode(data: bytes, schema: Schema) -> Reference:
    """Decode the reference of a version with this schema; raises ValueError for anything else."""
    reference = _decoder.decode(data)
    names = [feature.name for feature in schema.features]
    if [feature.name for feature in reference.features] != names:
        raise ValueError("its reference is of other features")
    for one, feature in zip(reference.features, schema.features, strict=True):
        bins = {"number": len(one.edges) + 1, "boolean": 2, "text": len(one.categories) + 1}
        rising = all(low < high for low, high in zip(one.edges, one.edges[1:], strict=False))
        known = set(range(len(feature.categories)))
        if (
            len(one.counts) != bins[feature.type]
            or sum(one.counts) + one.missing != reference.rows
            or min(*one.counts, one.missing, one.below, one.above) < 0
            or len(one.edges) >= QUANTILES
            or not (rising and all(map(isfinite, one.edges)))
            or len(one.categories) > MOST_CATEGORIES
            or len({*one.categories} & known) != len(one.categories)
        ):
            raise ValueError("its reference has bins that do not fit together")
    _check_answers(reference.answers, schema)
    if reference.rows < 1:
        raise ValueError("its reference is of no rows")
    return reference


def _check_answers(answers: AnswerReference, schema: Schema) -> None:
    confidence = answers.confidence
    if (
        len(answers.counts) != len(schema.classes)
        or min(answers.counts) < 0
        or (confidence is not None and (len(confidence) != CONFIDENCE_BINS or min(confidence) < 0))
    ):
        raise ValueError("its reference counts other classes")
