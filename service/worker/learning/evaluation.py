"""How good a classifier is: metrics from class indexes and probabilities of rows it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Label

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_CLASSES_FOR_ROC = 50
"""Beyond, the area under each class's curve takes longer than it tells."""


@dataclass(frozen=True, slots=True)
class ClassReport:
    """How well one class is told from the others; a share that has no rows is 0."""

    label: Label
    precision: float
    recall: float
    f1: float
    support: int


def confusion(truth: Ints, predicted: Ints, classes: int) -> Ints:
    """Count [true class, predicted class]."""
    flat = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def report(matrix: Ints, classes: Sequence[Label]) -> list[ClassReport]:
    """Give precision, recall, F1 and support by class."""
    precision, recall, f1 = _shares(matrix)
    support = matrix.sum(axis=1)
    return [
        ClassReport(label, float(precision[k]), float(recall[k]), float(f1[k]), int(support[k]))
        for k, label in enumerate(classes)
    ]


def _shares(matrix: Ints) -> tuple[Floats, Floats, Floats]:
    hits = np.diag(matrix).astype(np.float64)
    actual, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, actual, out=np.zeros_like(hits), where=actual > 0)
    both = actual + predicted
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return precision, recall, f1


def measure(truth: Ints, matrix: Ints, probabilities: Floats | None) -> dict[str, float]:
    """Give the metrics, by the definitions of scikit-learn; one that is not finite is left out.

    `f1` is the macro average over the classes that were there or were predicted, `roc_auc` that of
    each class against the rest; of two classes it is that of the second.
    """
    _, recall, f1 = _shares(matrix)
    there = matrix.sum(axis=1) > 0
    found = {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "balanced_accuracy": float(recall[there].mean()),
        "f1": float(f1[there | (matrix.sum(axis=0) > 0)].mean()),
    }
    if probabilities is not None and np.isfinite(probabilities).all():
        smallest = np.finfo(np.float64).eps
        clipped = np.clip(probabilities, smallest, 1 - smallest)
        given = clipped[np.arange(len(truth)), truth]
        # Rows of zeros (no neighbour within the radius) have no likelihood to speak of.
        totals = probabilities.sum(axis=1)
        if (totals > 0).all():
            found["log_loss"] = float(-np.log(given).mean())
        if there.all() and len(there) <= MOST_CLASSES_FOR_ROC:
            found["roc_auc"] = _roc_auc(truth, probabilities)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _roc_auc(truth: Ints, probabilities: Floats) -> float:
    classes = probabilities.shape[1]
    columns = [1] if classes == 2 else range(classes)
    return float(np.mean([area(truth == k, probabilities[:, k]) for k in columns]))


def area(positive: NDArray[np.bool_], scores: Floats) -> float:
    """Give the area under the ROC curve: the chance that a positive row scores higher.

    Equal scores count half (Mann and Whitney's U).
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    above = ranks[inverse][positive].sum()
    ones = int(positive.sum())
    zeros = len(positive) - ones
    return float((above - ones * (ones + 1) / 2) / (ones * zeros))


def roc_curve(positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Give the false and true positive rates at each threshold, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    hits = np.cumsum(positive[order])[last]
    misses = last + 1 - hits
    return np.append(0.0, misses / max(misses[-1], 1)), np.append(0.0, hits / max(hits[-1], 1))


def calibration(
    positive: NDArray[np.bool_], scores: Floats, bins: int = 10
) -> tuple[Floats, Floats, Ints]:
    """Give mean score, share of positives and rows of each bin of equal width that has rows."""
    place = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    rows = np.bincount(place, minlength=bins)
    kept = rows > 0
    means = np.bincount(place, weights=scores, minlength=bins)[kept] / rows[kept]
    shares = np.bincount(place, weights=positive, minlength=bins)[kept] / rows[kept]
    return means, shares, rows[kept]
