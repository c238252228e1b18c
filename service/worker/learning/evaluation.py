"""How good a classifier is on rows that it never saw: scikit-learn's metrics, as numbers."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from service.common.domain import Label
from service.models.classifier import Floats
from service.schema.evaluation import (
    MOST_BYTES,
    MOST_CLASSES,
    MOST_CONFUSED,
    CalibrationBin,
    CalibrationCurve,
    ClassEvaluation,
    Evaluation,
    RocCurve,
    encode,
)
from service.schema.search import METRICS, Metric
from service.worker.learning.curves import Curve, thinned

Ints = NDArray[np.int64]

MAX_CLASSES_FOR_ROC = 50
"""Beyond that, the area under each class's curve takes longer than it tells."""


def confusion(truth: Ints, predicted: Ints, classes: int) -> Ints:
    """Count rows by [true class, predicted class]; all are indexes of classes."""
    counts: Ints = metrics.confusion_matrix(truth, predicted, labels=np.arange(classes))
    return counts


def report(truth: Ints, predicted: Ints, classes: Sequence[Label]) -> list[dict[str, object]]:
    """Return precision, recall, F1 and support by class; a share of no rows is 0."""
    shares = metrics.precision_recall_fscore_support(
        truth, predicted, labels=np.arange(len(classes)), zero_division=0
    )
    names = ("label", "precision", "recall", "f1", "support")
    return [
        dict(zip(names, row, strict=True)) for row in zip(classes, *map(list, shares), strict=True)
    ]


def measure(
    truth: Ints, predicted: Ints, probabilities: Floats | None, classes: int
) -> dict[str, float]:
    """Return scikit-learn's metrics of predictions [N] and probabilities [N, classes].

    `f1` is the macro average over the classes that occur or are predicted; `roc_auc` is that of
    each class against the rest, or of the second of two. What cannot be computed is left out.
    """
    found = {metric: score(metric, truth, predicted, probabilities, classes) for metric in METRICS}
    return {metric: value for metric, value in found.items() if value is not None}


def score(
    metric: Metric, truth: Ints, predicted: Ints, probabilities: Floats | None, classes: int
) -> float | None:
    """Return one of these metrics; None where it cannot be computed."""
    with warnings.catch_warnings():
        # The report shows a class that is predicted and does not occur; a warning adds nothing.
        warnings.simplefilter("ignore", UserWarning)
        match metric:
            case "accuracy":
                value = np.mean(predicted == truth)
            case "balanced_accuracy":
                value = metrics.balanced_accuracy_score(truth, predicted)
            case "f1":
                value = metrics.f1_score(truth, predicted, average="macro", zero_division=0)
            case "log_loss" | "roc_auc":
                value = _of_probabilities(metric, truth, probabilities, classes)
    return float(value) if value is not None and np.isfinite(value) else None


def _of_probabilities(
    metric: Metric, truth: Ints, probabilities: Floats | None, classes: int
) -> float | None:
    if probabilities is None or not np.isfinite(probabilities).all():
        return None
    if metric == "roc_auc":
        measurable = classes <= MAX_CLASSES_FOR_ROC and len(np.unique(truth)) == classes
        return _roc_auc(truth, probabilities) if measurable else None
    if not (probabilities.sum(axis=1) > 0).all():
        return None  # Rows of zeros (no neighbour within the radius) have no likelihood.
    loss: float = metrics.log_loss(truth, probabilities, labels=np.arange(classes))
    return loss


def _roc_auc(truth: Ints, probabilities: Floats) -> float:
    classes = probabilities.shape[1]
    columns = [1] if classes == 2 else range(classes)
    areas = [metrics.roc_auc_score(truth == k, probabilities[:, k]) for k in columns]
    return float(np.mean(areas))


def record(
    classes: Sequence[Label],
    report: Sequence[Mapping[str, Any]],
    confusion: Ints,
    curves: Sequence[Curve],
) -> bytes | None:
    """Return `evaluation.json` of the held-out rows; None for classes that are too many for it."""
    if len(classes) > MOST_CLASSES:
        return None
    parts: dict[str, Any] = {}
    if len(classes) <= MOST_CONFUSED:
        parts["confusion"] = confusion.tolist()
    if curves:
        parts["roc"] = [_roc(classes[curve.place], curve) for curve in curves]
        parts["calibration"] = [_calibration(classes[curve.place], curve) for curve in curves]
    made = Evaluation(
        rows=int(confusion.sum()),
        classes=list(classes),
        by_class=[
            ClassEvaluation(
                label=row["label"],
                rows=int(row["support"]),
                **{name: _rounded(row[name]) for name in ("precision", "recall", "f1")},
            )
            for row in report
        ],
        **parts,
    )
    data = encode(made)
    return data if len(data) <= MOST_BYTES else None


def _roc(label: Label, curve: Curve) -> RocCurve:
    points = thinned(np.column_stack((curve.false_positives, curve.true_positives)))
    # Five digits are a hundredth of a pixel.
    rounded = [[_rounded(x, 5), _rounded(y, 5)] for x, y in points.tolist()]
    return RocCurve(label=label, auc=_rounded(curve.area), points=rounded)


def _calibration(label: Label, curve: Curve) -> CalibrationCurve:
    found = curve.calibration
    bins = [
        CalibrationBin(predicted=_rounded(predicted), observed=_rounded(observed), rows=int(rows))
        for predicted, observed, rows in zip(
            found.predicted, found.observed, found.rows, strict=True
        )
    ]
    return CalibrationCurve(label=label, bins=bins)


def _rounded(share: float, digits: int = 6) -> float:
    """Round a share; the last bit of a sum may have put it beyond 1."""
    return min(1.0, round(float(share), digits))
