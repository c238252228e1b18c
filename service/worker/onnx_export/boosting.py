"""Boosted trees: sums of weighted leaves in float64, in scikit-learn's order."""

import numpy as np
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
)

from service.models.classifier import Floats
from service.worker.onnx_export.builder import Answer, Graph
from service.worker.onnx_export.trees import (
    Ints,
    Tree,
    ensemble,
    leaf_values,
    sum_of_leaves,
)


class _Sum:
    """The trees of a boosting and what their leaves add to which class."""

    def __init__(self, start: Floats) -> None:
        # The first addend is the initial prediction, as a tree of one leaf: added at the end, it
        # would change the last bit.
        self.trees: list[Tree] = [Tree.constant() for _ in start]
        self._targets: list[Ints] = [np.array([target]) for target in range(len(start))]
        self._weights: list[Floats] = [np.array([value]) for value in start]

    def add(self, tree: Tree, target: int, weights: Floats) -> None:
        self.trees.append(tree)
        self._targets.append(np.full(len(weights), target))
        self._weights.append(weights)

    def emit(self, graph: Graph, x: str) -> str:
        targets = np.concatenate(self._targets)
        classes = int(targets.max()) + 1
        weights = np.concatenate(self._weights)
        return ensemble(graph, x, self.trees, targets, weights, classes, np.float64)


def emit_gradient_boosting(graph: Graph, classifier: GradientBoostingClassifier, x: str) -> Answer:
    """Add gradient boosting, whose trees read float32 and whose first class is raw < 0."""
    start = classifier._raw_predict_init(np.zeros((1, classifier.n_features_in_)))[0]
    total = _Sum(start)
    for stage in classifier.estimators_:
        for target, fitted in enumerate(stage):
            weights = classifier.learning_rate * leaf_values(fitted)[:, 0]
            total.add(Tree.from_fitted(fitted), target, weights)
    raw = total.emit(graph, graph.double(graph.single(x)))
    if len(start) > 1:
        return Answer(graph.largest(raw), graph.softmax(raw))
    log_odds = raw
    if classifier.loss == "exponential":
        log_odds = graph.multiply(graph.constant(2.0), raw)
    p = graph.both_classes(graph.logistic(log_odds))
    return Answer(graph.side(raw, "GreaterOrEqual"), p)


def emit_histogram_boosting(
    graph: Graph, classifier: HistGradientBoostingClassifier, x: str
) -> Answer:
    """Add histogram boosting, whose trees read float64 and may send NaN either way."""
    start = classifier._baseline_prediction.ravel()
    total = _Sum(start)
    for stage in classifier._predictors:
        for target, predictor in enumerate(stage):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            tree = Tree(
                nodes["left"].astype(np.int64),
                nodes["right"].astype(np.int64),
                leaf,
                nodes["feature_idx"].astype(np.int64),
                nodes["num_threshold"],
                nodes["missing_go_to_left"].astype(np.int64),
            )
            total.add(tree, target, nodes["value"][leaf])
    raw = total.emit(graph, x)
    if len(start) > 1:
        return Answer(graph.largest(raw), graph.softmax(raw))
    return Answer(graph.side(raw), graph.both_classes(graph.logistic(raw)))


def emit_adaboost(graph: Graph, classifier: AdaBoostClassifier, x: str) -> Answer:
    """Add AdaBoost over trees: each votes for one class, with its weight, against the others."""
    classes = len(classifier.classes_)
    votes = []
    for tree, weight in zip(classifier.estimators_, classifier.estimator_weights_, strict=False):
        values = leaf_values(tree)
        chosen = np.searchsorted(classifier.classes_, tree.classes_.take(values.argmax(axis=1)))
        vote = np.full((len(values), classes), -1 / (classes - 1) * weight)
        vote[np.arange(len(values)), chosen] = weight
        votes.append(vote)
    trees = [Tree.from_fitted(tree) for tree in classifier.estimators_]
    total = sum_of_leaves(graph, x, trees, votes)
    decision = graph.divide(total, graph.constant(classifier.estimator_weights_.sum()))
    if classes > 2:
        scaled = graph.divide(decision, graph.constant(float(classes - 1)))
        return Answer(graph.largest(decision), graph.softmax(scaled))
    margin = graph.subtract(graph.columns(decision, [1]), graph.columns(decision, [0]))
    sides = graph.beside([graph.node("Neg", margin), margin])
    p = graph.softmax(graph.divide(sides, graph.constant(2.0)))
    return Answer(graph.side(margin), p)
