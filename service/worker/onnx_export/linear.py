"""Linear classifiers and linear discriminants: one matrix product."""

from typing import Any

import numpy as np
from sklearn.linear_model import SGDClassifier

from service.worker.onnx_export.builder import Answer, Graph, NotConvertible


def emit_linear(graph: Graph, classifier: Any, x: str) -> Answer:
    """Add a classifier that has coefficients and no probabilities."""
    weights = np.atleast_2d(classifier.coef_).T
    if weights.dtype != np.float64:
        raise NotConvertible("its coefficients are not float64")
    offset = np.broadcast_to(np.atleast_1d(classifier.intercept_), (weights.shape[1],))
    decision = graph.affine(x, weights, offset)
    label = graph.side(decision) if weights.shape[1] == 1 else graph.largest(decision)
    return Answer(label, decision=decision)


def emit_logistic(graph: Graph, classifier: Any, x: str) -> Answer:
    """Add a classifier whose probabilities are the softmax of its decision."""
    answer = emit_linear(graph, classifier, x)
    assert answer.decision is not None
    if len(classifier.classes_) == 2:
        probabilities = graph.both_classes(graph.logistic(answer.decision))
    else:
        probabilities = graph.softmax(answer.decision)
    return Answer(answer.label, probabilities, answer.decision)


def emit_sgd(graph: Graph, classifier: SGDClassifier, x: str) -> Answer:
    """Add a classifier whose probabilities, if its loss has any, are one against the rest."""
    answer = emit_linear(graph, classifier, x)
    assert answer.decision is not None
    if classifier.loss == "log_loss":
        p = graph.logistic(answer.decision)
    elif classifier.loss == "modified_huber":
        kept = graph.node("Clip", answer.decision, graph.constant(-1.0), graph.constant(1.0))
        p = graph.divide(graph.add(kept, graph.constant(1.0)), graph.constant(2.0))
    else:
        return answer
    classes = len(classifier.classes_)
    p = graph.both_classes(p) if classes == 2 else graph.shares(p, 1.0 / classes)
    return Answer(answer.label, p, answer.decision)
