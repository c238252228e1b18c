"""Calibrated linear classifiers: the decision through a sigmoid or a monotone line, averaged.

What is calibrated is a LinearSVC: no training sets another estimator.
"""

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from service.worker.onnx_export.builder import Answer, Graph, NotConvertible
from service.worker.onnx_export.linear import decide

STEEPEST = 1e5
"""The largest slope times magnitude at which an error of 1e-16 stays below 1e-10."""


def emit_calibrated(graph: Graph, classifier: CalibratedClassifierCV, x: str) -> Answer:
    """Add each fold's classifier and calibration, and the mean of them."""
    classes = len(classifier.classes_)
    total: str | None = None
    for fold in classifier.calibrated_classifiers_:
        scores = decide(graph, fold.estimator, x)
        if len(fold.calibrators) != (1 if classes == 2 else classes):
            raise NotConvertible("a fold has not seen every class")
        if fold.method == "sigmoid":
            p = _sigmoid(graph, fold.calibrators, scores)
        elif fold.method == "isotonic":
            p = _isotonic(graph, fold.calibrators, scores)
        else:
            # Temperature scaling looks at the whole batch to decide what a score is.
            raise NotConvertible(f"it is calibrated by {fold.method}")
        p = graph.both_classes(p) if classes == 2 else graph.shares(p, 1.0 / classes)
        total = p if total is None else graph.add(total, p)
    assert total is not None
    folds = float(len(classifier.calibrated_classifiers_))
    probabilities = graph.divide(total, graph.constant(folds))
    return Answer(graph.largest(probabilities), probabilities)


def _sigmoid(graph: Graph, calibrators: list[Any], scores: str) -> str:
    slopes = graph.constant([calibrator.a_ for calibrator in calibrators])
    offsets = graph.constant([calibrator.b_ for calibrator in calibrators])
    inner = graph.add(graph.multiply(slopes, scores), offsets)
    return graph.logistic(graph.node("Neg", inner))


def _isotonic(graph: Graph, calibrators: list[Any], scores: str) -> str:
    """Add a line of straight pieces for each class: which piece, then its slope and its start."""
    columns = []
    for place, line in enumerate(calibrators):
        x = scores if len(calibrators) == 1 else graph.columns(scores, [place])
        starts, values = line.X_thresholds_, line.y_thresholds_
        if len(starts) == 1:
            flat = graph.multiply(x, graph.constant(0.0))
            columns.append(graph.add(flat, graph.constant(values[0])))
            continue
        slopes = np.append(np.diff(values) / np.diff(starts), 0.0)
        if np.abs(slopes).max() * np.abs(starts).max() > STEEPEST:
            raise NotConvertible("its isotonic calibration is too steep to be repeated exactly")
        x = graph.node("Max", x, graph.constant(line.X_min_))
        x = graph.node("Min", x, graph.constant(line.X_max_))
        passed = graph.node("GreaterOrEqual", x, graph.constant(starts[1:][None]))
        piece = graph.sum(graph.integer(passed))
        slope, start, value = (
            graph.node("Gather", graph.constant(table), piece, axis=0)
            for table in (slopes, starts, values)
        )
        columns.append(graph.add(graph.multiply(slope, graph.subtract(x, start)), value))
    return graph.beside(columns)
