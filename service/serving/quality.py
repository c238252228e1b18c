"""How good answers are, given the true labels: counts, losses, an exact test and an interval.

The results are those of scikit-learn and scipy, which the serving process does not import.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.models.classifier import Floats

Ints = NDArray[np.int64]

_SMALLEST = float(np.finfo(np.float64).eps)
"""In a log loss a smaller probability counts as this one, as in scikit-learn."""
_Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: an interval of 95 %."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """Numbers of rows by class, each [K]: of that true class, predicted as it, and both."""

    rows: Ints
    predicted: Ints
    right: Ints

    @classmethod
    def of(cls, truth: Ints, predicted: Ints, classes: int) -> Self:
        """Count rows by their true and predicted class; -1 for a row that was not answered."""
        answered = predicted >= 0
        return cls(
            np.bincount(truth, minlength=classes),
            np.bincount(predicted[answered], minlength=classes),
            np.bincount(truth[truth == predicted], minlength=classes),
        )

    def metrics(self) -> dict[str, float]:
        """Return accuracy, balanced accuracy and macro F1; there must be at least one row.

        Recall is averaged over the classes that occur, and F1 over those that occur or are
        predicted.
        """
        occurs = self.rows > 0
        either = self.rows + self.predicted
        shown = either > 0
        return {
            "accuracy": float(self.right.sum() / self.rows.sum()),
            "balanced_accuracy": float(np.mean(self.right[occurs] / self.rows[occurs])),
            "f1": float(np.mean(2 * self.right[shown] / either[shown])),
        }


def has_likelihoods(probabilities: Floats) -> bool:
    """Return whether all of [N, K] is finite, and no row consists of zeros alone."""
    return bool(np.isfinite(probabilities).all() and (probabilities.sum(axis=1) > 0).all())


def log_losses(truth: Ints, probabilities: Floats) -> Floats:
    """Return the log loss of each row, [N], of probabilities [N, K].

    If all probabilities of a row are zero, its class counts as if it had the smallest one.
    """
    given = probabilities[np.arange(len(truth)), truth]
    losses: Floats = -np.log(np.clip(given, _SMALLEST, 1 - _SMALLEST))
    return losses


def brier_scores(truth: Ints, probabilities: Floats) -> Floats:
    """Return the Brier score of each row, [N]: the sum over the K classes of [N, K]."""
    squares = (probabilities**2).sum(axis=1)
    given = probabilities[np.arange(len(truth)), truth]
    scores: Floats = squares - 2 * given + 1
    return scores


def mcnemar(one: int, other: int) -> float:
    """Return the p-value of McNemar's exact test: twice the smaller tail of a fair coin.

    `one` is the number of rows that only the first version answers right, `other` that of the rows
    that only the second does.
    """
    count, fewer = one + other, min(one, other)
    if one == other:
        return 1.0
    log_term = math.lgamma(count + 1) - math.lgamma(fewer + 1) - math.lgamma(count - fewer + 1)
    term = math.exp(log_term - count * math.log(2))
    tail = 0.0
    for hits in range(fewer, -1, -1):
        tail += term
        term *= hits / (count - hits + 1)
        if term <= tail * 1e-17:
            break
    return min(1.0, 2 * tail)


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the share `hits / rows`; `rows` is at least 1."""
    share, square = hits / rows, _Z * _Z
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = _Z * math.sqrt(share * (1 - share) / rows + square / (4 * rows * rows))
    half /= 1 + square / rows
    # Rounding may leave the share itself just outside.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))
