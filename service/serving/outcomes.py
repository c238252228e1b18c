"""Answers compared with the true labels: the counts, and the figures that follow from them."""

from dataclasses import dataclass, replace

import numpy as np

from service.common.outcomes import BINS, MOST_CONFUSED, Bin, OutcomeCounts
from service.models.classifier import Floats
from service.schema.contract import Schema
from service.serving.quality import ClassCounts, Ints, brier_scores, log_losses, wilson

_EDGES = np.arange(1, BINS) / BINS


@dataclass(frozen=True, slots=True)
class CalibrationFigures:
    """How often the likeliest class is right, if its probability is between `from_` and `to`.

    `low` and `high` are the 95 % interval (Wilson's) of `observed`.
    """

    from_: float
    to: float
    rows: int
    predicted: float
    """The mean probability."""
    observed: float
    low: float
    high: float


def count(
    schema: Schema, truth: Ints, predicted: Ints, probabilities: Floats | None
) -> OutcomeCounts:
    """Count rows: `truth` and `predicted` are indexes of classes, [N]; probabilities are [N, K]."""
    classes = len(schema.classes)
    counts = OutcomeCounts(classes, len(truth))
    if classes > MOST_CONFUSED:
        by_class = ClassCounts.of(truth, predicted, classes)
        triples = np.column_stack([by_class.rows, by_class.predicted, by_class.right]).tolist()
        counts = replace(counts, by_class=tuple((a, b, c) for a, b, c in triples))
    else:
        cells = np.bincount(truth * classes + predicted, minlength=classes * classes)
        confusion = tuple(map(tuple, cells.reshape(classes, classes).tolist()))
        counts = replace(counts, labels=schema.classes, confusion=confusion)
    if probabilities is None:
        return counts
    return replace(
        counts,
        log_loss=float(log_losses(truth, probabilities).sum()),
        brier=float(brier_scores(truth, probabilities).sum()),
        calibration=_calibration(truth, probabilities),
    )


def _calibration(truth: Ints, probabilities: Floats) -> tuple[Bin, ...]:
    likeliest = probabilities.argmax(axis=1)
    largest = probabilities[np.arange(len(truth)), likeliest]
    places = np.searchsorted(_EDGES, largest)
    rows = np.bincount(places, minlength=BINS)
    sums = np.bincount(places, weights=largest, minlength=BINS)
    right = np.bincount(places[likeliest == truth], minlength=BINS)
    return tuple(map(Bin, rows.tolist(), sums.tolist(), right.tolist()))


def metrics_of(counts: OutcomeCounts) -> dict[str, float]:
    """Return accuracy, balanced accuracy, F1 and, where there are probabilities, mean losses."""
    if counts.confusion is not None:
        table = np.array(counts.confusion)
        by_class = ClassCounts(table.sum(axis=1), table.sum(axis=0), np.diagonal(table))
    else:
        by_class = ClassCounts(*np.array(counts.by_class).T)
    metrics = by_class.metrics()
    if counts.log_loss is not None and counts.brier is not None:
        metrics["log_loss"] = counts.log_loss / counts.rows
        metrics["brier"] = counts.brier / counts.rows
    return metrics


def calibration_of(counts: OutcomeCounts) -> list[CalibrationFigures] | None:
    """Return the figures of the tenths that have rows; None without probabilities."""
    if counts.calibration is None:
        return None
    return [
        CalibrationFigures(
            place / BINS,
            (place + 1) / BINS,
            one.rows,
            one.predicted / one.rows,
            one.right / one.rows,
            *wilson(one.right, one.rows),
        )
        for place, one in enumerate(counts.calibration)
        if one.rows
    ]
