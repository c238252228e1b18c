"""Compares the counts of a window with the reference: for each feature, and for the answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from service.common.domain import spelling
from service.schema.contract import Feature
from service.schema.reference import CONFIDENCE_BINS, FeatureReference
from service.skew.layout import Counts, FeatureBins
from service.skew.statistics import Divergence, diverge
from service.skew.tally import Tally
from service.skew.windows import Window


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin, with the share of the counted rows in it and that of the reference."""

    label: str
    share: float
    expected: float


@dataclass(frozen=True, slots=True)
class FeatureSkew:
    """One feature. The numbers of rows are those of the counted rows."""

    name: str
    divergence: Divergence
    missing: int
    expected_missing: float
    below: int
    above: int
    unseen: int
    bins: Sequence[Bin]


@dataclass(frozen=True, slots=True)
class SkewReport:
    """One version in one window."""

    rows: int
    sampled: int
    since: float | None
    features: Sequence[FeatureSkew]
    """The worst first."""
    uncounted: int
    """The number of features that are not counted, since their bins do not fit."""
    answers: Divergence
    classes: Sequence[Bin]
    confidence: tuple[Divergence, Sequence[Bin]] | None
    """Only the answers with probabilities; None if there are none."""


def report(tally: Tally, window: Window) -> SkewReport:
    """Compare a window with the reference of its version, which must have one."""
    reference, layout = tally.reference, tally.layout
    assert reference is not None
    counts = np.array(window.counts or np.zeros(layout.size), np.int64)
    features = [
        _of_feature(one, tally.schema.features[one.place], reference.features[one.place], counts)
        for one in layout.features
    ]
    features.sort(key=lambda one: (one.divergence.verdict != "drift", -(one.divergence.psi or 0.0)))
    counted, expected = counts[layout.classes], np.array(reference.answers.counts)
    labels = [spelling(label) for label in tally.schema.classes]
    return SkewReport(
        window.rows,
        int(counted.sum()),
        window.since,
        features,
        layout.uncounted,
        diverge(counted, expected),
        _bins(labels, counted, expected),
        _confidence(counts[layout.confidence], reference.answers.confidence),
    )


def feature_divergence(one: FeatureBins, counts: Counts) -> Divergence:
    """Compare one feature with its reference; `counts` is the whole array of the layout."""
    return diverge(counts[one.bins], one.expected)


def _of_feature(
    one: FeatureBins, feature: Feature, reference: FeatureReference, counts: Counts
) -> FeatureSkew:
    own = counts[one.bins]
    below, above = counts[one.outside : one.outside + 2].tolist()
    total = int(one.expected.sum())
    return FeatureSkew(
        name=feature.name,
        divergence=feature_divergence(one, counts),
        missing=int(counts[one.missing]),
        expected_missing=float(own.sum() * reference.missing / total),
        below=0 if one.is_text else below,
        above=0 if one.is_text else above,
        unseen=below if one.is_text else 0,
        bins=_bins(_labels(feature, reference), own, one.expected),
    )


def _labels(feature: Feature, reference: FeatureReference) -> list[str]:
    if feature.type == "text":
        named = [feature.categories[code] for code in reference.categories]
        return [*named, "others", "missing"]
    if feature.type == "boolean":
        return ["false", "true", "missing"]
    edges = [f"{edge:.6g}" for edge in reference.edges]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]}", *between, f"above {edges[-1]}", "missing"]


def _confidence(
    counted: Counts, expected: Sequence[int] | None
) -> tuple[Divergence, Sequence[Bin]] | None:
    if expected is None or not counted.any():
        return None
    labels = [
        f"{b / CONFIDENCE_BINS:g} to {(b + 1) / CONFIDENCE_BINS:g}" for b in range(len(expected))
    ]
    theirs = np.array(expected)
    return diverge(counted, theirs), _bins(labels, counted, theirs)


def _bins(labels: Sequence[str], counted: Counts, expected: Counts) -> list[Bin]:
    """Return the shares of the bins, 0 without rows; no pseudo-counts are added as in `diverge`."""
    rows, total = max(1, int(counted.sum())), max(1, int(expected.sum()))
    pairs = zip(labels, (counted / rows).tolist(), (expected / total).tolist(), strict=True)
    return [Bin(label, share, theirs) for label, share, theirs in pairs]
