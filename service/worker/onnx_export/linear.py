"""Linear classifiers and linear discriminants: one matrix product."""

from typing import Any

import numpy as np
from sklearn.linear_model import SGDClassifier

from service.worker.onnx_export.builder import Answer, Graph, NotConvertible


def decide(graph: Graph, classifier: Any, x: str) -> str:
    """Add what `decision_function` gives: [N, K], or [N, 1] where that gives [N]."""
    weights = np.atleast_2d(classifier.coef_).T
    if weights.dtype != np.float64:
        raise NotConvertible("its coefficients are not float64")
    offset = np.broadcast_to(np.atleast_1d(classifier.intercept_), (weights.shape[1],))
    return graph.affine(x, weights, offset)


def _label(graph: Graph, classifier: Any, decision: str) -> str:
    two = len(classifier.classes_) == 2
    return graph.side(decision) if two else graph.largest(decision)


def emit_linear(graph: Graph, classifier: Any, x: str) -> Answer:
    """Add a classifier that has coefficients and no probabilities."""
    return Answer(_label(graph, classifier, decide(graph, classifier, x)))


def emit_logistic(graph: Graph, classifier: Any, x: str) -> Answer:
    """Add a classifier whose probabilities are the softmax of its decision."""
    decision = decide(graph, classifier, x)
    if len(classifier.classes_) == 2:
        probabilities = graph.both_classes(graph.logistic(decision))
    else:
        probabilities = graph.softmax(decision)
    return Answer(_label(graph, classifier, decision), probabilities)


def emit_sgd(graph: Graph, classifier: SGDClassifier, x: str) -> Answer:
    """Add a classifier whose probabilities, if its loss has any, are one against the rest."""
    decision = decide(graph, classifier, x)
    label = _label(graph, classifier, decision)
    if classifier.loss == "log_loss":
        p = graph.logistic(decision)
    elif classifier.loss == "modified_huber":
        kept = graph.node("Clip", decision, graph.constant(-1.0), graph.constant(1.0))
        p = graph.divide(graph.add(kept, graph.constant(1.0)), graph.constant(2.0))
    else:
        return Answer(label)
    classes = len(classifier.classes_)
    p = graph.both_classes(p) if classes == 2 else graph.shares(p, 1.0 / classes)
    return Answer(label, p)
