"""ROC and calibration curves of the held-out rows: computed once, then drawn and recorded."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.calibration import calibration_curve

from service.models.classifier import Floats
from service.schema.evaluation import BINS, MOST_CURVES, MOST_POINTS

Ints = NDArray[np.int64]

_INVISIBLE = 0.0005
"""How far a line may run from a curve in the unit square: half a pixel of a thousand."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How often a class occurs where it is given a probability, for each tenth that has rows."""

    scores: Floats
    """The probability given to each row."""
    predicted: Floats
    """The mean of each tenth's probabilities."""
    observed: Floats
    """The share of each tenth's rows that are of the class."""
    rows: Ints

    @classmethod
    def measure(cls, hits: NDArray[np.bool_], scores: Floats) -> "Calibration":
        """Compare probabilities [N] with the rows that are of the class."""
        observed, predicted = calibration_curve(hits, scores, n_bins=BINS)
        # As calibration_curve divides them; it does not return the counts.
        edges = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
        rows = np.bincount(np.searchsorted(edges, scores), minlength=BINS)
        return cls(scores, predicted, observed, rows[rows > 0])


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """How well the probability of one class tells its rows from the rest."""

    place: int
    """The index of the class."""
    hits: NDArray[np.bool_]
    """The rows that are of it."""
    false_positives: Floats
    true_positives: Floats
    area: float
    calibration: Calibration


def curves_of(truth: Ints, probabilities: Floats | None, classes: int) -> Sequence[Curve]:
    """Return the curve of the second of two classes, else of each against the rest.

    A class of all held-out rows, or of none, has no curve. There are no curves for more than
    `MOST_CURVES` classes, without probabilities [N, classes], or where one is not finite.
    """
    if probabilities is None or classes > MOST_CURVES or not np.isfinite(probabilities).all():
        return []
    found = []
    for place in [1] if classes == 2 else range(classes):
        hits = truth == place
        if not hits.any() or hits.all():
            continue
        scores = np.clip(probabilities[:, place], 0.0, 1.0)
        false_positives, true_positives, _ = metrics.roc_curve(hits, scores)
        area = float(metrics.auc(false_positives, true_positives))
        calibration = Calibration.measure(hits, scores)
        found.append(Curve(place, hits, false_positives, true_positives, area, calibration))
    return found


def pooled(curves: Sequence[Curve]) -> Calibration:
    """Return the calibration of all these classes together."""
    return Calibration.measure(
        np.concatenate([curve.hits for curve in curves]),
        np.concatenate([curve.calibration.scores for curve in curves]),
    )


def thinned(points: Floats, most: int = MOST_POINTS) -> Floats:
    """Return up to `most` of the points [N, 2] of a line, among them its ends.

    The next one to be kept is always the one that lies farthest from the line through those that
    are kept (Ramer, Douglas and Peucker), until none is visibly away from it.
    """
    kept = {0, len(points) - 1}
    farthest: list[tuple[float, int, int, int]] = []

    def look(first: int, last: int) -> None:
        if last - first < 2:
            return
        along = points[last] - points[first]
        off = points[first + 1 : last] - points[first]
        away = np.abs(off[:, 0] * along[1] - off[:, 1] * along[0]) / max(np.hypot(*along), 1e-12)
        place = int(np.argmax(away))
        heapq.heappush(farthest, (-float(away[place]), first + 1 + place, first, last))

    look(0, len(points) - 1)
    while farthest and len(kept) < most:
        away, place, first, last = heapq.heappop(farthest)
        if -away <= _INVISIBLE:
            break
        kept.add(place)
        look(first, place)
        look(place, last)
    return points[sorted(kept)]
