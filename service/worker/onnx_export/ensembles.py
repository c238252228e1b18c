"""Bagged trees: the mean of the probabilities in their leaves."""

from sklearn.ensemble import BaggingClassifier
from sklearn.tree import BaseDecisionTree

from service.worker.onnx_export.builder import Answer, Graph, NotConvertible
from service.worker.onnx_export.trees import Tree, leaf_values, mean_of_leaves


def emit_bagging(graph: Graph, classifier: BaggingClassifier, x: str) -> Answer:
    """Add the mean of the probabilities of all trees, each on its own columns."""
    estimators, columns = classifier.estimators_, classifier.estimators_features_
    if not all(isinstance(estimator, BaseDecisionTree) for estimator in estimators):
        raise NotConvertible("it bags something other than trees")
    if any(len(estimator.classes_) != len(classifier.classes_) for estimator in estimators):
        raise NotConvertible("an estimator inside it has not seen every class")
    trees = [
        Tree.from_fitted(tree, places) for tree, places in zip(estimators, columns, strict=True)
    ]
    return mean_of_leaves(graph, x, trees, [leaf_values(tree) for tree in estimators])
