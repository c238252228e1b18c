"""Counts the rows that a version was fitted on, and its answers to the held-out ones, in bins."""

import numpy as np
from numpy.typing import NDArray

from service.models.classifier import Floats
from service.schema.contract import Feature, Schema
from service.schema.reference import (
    CONFIDENCE_BINS,
    MOST_CATEGORIES,
    QUANTILES,
    AnswerReference,
    FeatureReference,
    Reference,
)
from service.worker.data.table import Table

Ints = NDArray[np.int64]

_DECILES = np.arange(1, QUANTILES) / QUANTILES


def record(
    schema: Schema,
    table: Table,
    X: Floats,
    fitted: Ints,
    held_out: Ints,
    answered: Ints,
    probabilities: Floats | None,
) -> Reference:
    """Return the reference of a version.

    `X` has every row of the table, coded as the schema says; `fitted` and `held_out` are rows of
    it. `answered` counts the held-out rows that were given each class, and `probabilities` are
    theirs, [held out, classes].
    """
    features = []
    for place, feature in enumerate(schema.features):
        missing, cells = table.columns[feature.name].missing, X[:, place]
        seen = cells[fitted][~missing[fitted]]
        gaps = int(np.count_nonzero(missing[fitted]))
        if feature.type == "number":
            later = cells[held_out][~missing[held_out]]
            features.append(_of_number(feature, seen, gaps, later))
        elif feature.type == "boolean":
            features.append(FeatureReference(feature.name, _counted(seen, 2), gaps))
        else:
            features.append(_of_text(feature, seen, gaps))
    confidence = None
    if probabilities is not None:
        confidence = _confidence(probabilities)
    answers = AnswerReference(_whole(answered), confidence)
    return Reference(len(fitted), tuple(features), answers)


def _of_number(feature: Feature, seen: Floats, gaps: int, later: Floats) -> FeatureReference:
    # Values that occur, so that none is interpolated beyond float64.
    edges = np.unique(np.quantile(seen, _DECILES, method="inverted_cdf"))
    bins = np.searchsorted(edges, seen, side="left")
    return FeatureReference(
        feature.name,
        _counted(bins, len(edges) + 1),
        gaps,
        edges=tuple(edges.tolist()),
        below=int(np.count_nonzero(later < seen.min())),
        above=int(np.count_nonzero(later > seen.max())),
    )


def _of_text(feature: Feature, seen: Floats, gaps: int) -> FeatureReference:
    counts = np.bincount(seen.astype(np.int64), minlength=len(feature.categories))
    # Stable, so that the first of equally frequent categories has the bin.
    frequent = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    own = counts[frequent]
    return FeatureReference(
        feature.name,
        _whole(np.append(own, counts.sum() - own.sum())),
        gaps,
        categories=_whole(frequent),
    )


def _confidence(probabilities: Floats) -> tuple[int, ...]:
    bins = (probabilities.max(axis=1) * CONFIDENCE_BINS).astype(np.int64)
    return _counted(np.clip(bins, 0, CONFIDENCE_BINS - 1), CONFIDENCE_BINS)


def _counted(bins: NDArray[np.generic], many: int) -> tuple[int, ...]:
    return _whole(np.bincount(bins.astype(np.int64), minlength=many))


def _whole(counts: NDArray[np.generic]) -> tuple[int, ...]:
    return tuple(int(count) for count in counts.tolist())
