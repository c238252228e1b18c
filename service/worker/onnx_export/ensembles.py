"""Classifiers made of classifiers: bagging, one against the rest, votes, stacks, thresholds."""

from typing import Any

import numpy as np
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import BaseDecisionTree

from service.worker.onnx_export.builder import Answer, Graph, NotConvertible
from service.worker.onnx_export.trees import Tree, leaf_values, mean_of_leaves


def probabilities_of(answer: Answer) -> str:
    """Give the probabilities that the classifier around this one asks for."""
    if answer.probabilities is None:
        raise NotConvertible("a classifier inside it has no probabilities")
    return answer.probabilities


def decision_of(classifier: Any, answer: Answer) -> str:
    """Give the decision that the classifier around this one asks for."""
    if answer.decision is None:
        raise NotConvertible("a classifier inside it has a decision that is not built")
    if getattr(classifier, "decision_function_shape", "ovr") != "ovr":
        raise NotConvertible("a classifier inside it decides for pairs of classes")
    return answer.decision


def emit_bagging(graph: Graph, classifier: BaggingClassifier, x: str) -> Answer:
    """Add the mean of the probabilities of all estimators, each on its own columns."""
    estimators, columns = classifier.estimators_, classifier.estimators_features_
    classes = len(classifier.classes_)
    if any(len(estimator.classes_) != classes for estimator in estimators):
        raise NotConvertible("an estimator inside it has not seen every class")
    if all(isinstance(estimator, BaseDecisionTree) for estimator in estimators):
        trees = [
            Tree.from_fitted(tree, places) for tree, places in zip(estimators, columns, strict=True)
        ]
        return mean_of_leaves(graph, x, trees, [leaf_values(tree) for tree in estimators])
    total = graph.constant(np.zeros((1, classes)))
    for estimator, places in zip(estimators, columns, strict=True):
        if not hasattr(estimator, "predict_proba"):
            raise NotConvertible("its estimators vote with their labels")
        answer = graph.classify(estimator, graph.columns(x, places))
        total = graph.add(total, probabilities_of(answer))
    probabilities = graph.divide(total, graph.constant(float(len(estimators))))
    return Answer(graph.largest(probabilities), probabilities)


def emit_one_vs_rest(graph: Graph, classifier: OneVsRestClassifier, x: str) -> Answer:
    """Add a classifier for each class; of two classes only the second has one."""
    scores, shares = [], []
    by_decision = hasattr(classifier.estimators_[0], "decision_function")
    for estimator in classifier.estimators_:
        answer = graph.classify(estimator, x)
        if answer.probabilities is not None:
            shares.append(graph.columns(answer.probabilities, [1]))
        if by_decision:
            scores.append(decision_of(estimator, answer))
        else:
            scores.append(graph.columns(probabilities_of(answer), [1]))
    if len(scores) == 1:
        label = graph.side(scores[0], bound=0.0 if by_decision else 0.5)
        rows = graph.both_classes(shares[0]) if shares else None
    else:
        label = graph.largest(graph.beside(scores))
        rows = graph.beside(shares) if len(shares) == len(scores) else None
    decision = graph.beside(scores) if by_decision else None
    return Answer(label, None if rows is None else graph.shares(rows), decision)


def emit_voting(graph: Graph, classifier: VotingClassifier, x: str) -> Answer:
    """Add a vote, of probabilities or of labels, each with its weight."""
    if classifier.voting not in ("soft", "hard"):
        raise NotConvertible("it votes in a way not built")
    weights = classifier._weights_not_none
    classes = graph.constant(np.arange(len(classifier.classes_))[None], np.int64)
    total: str | None = None
    for place, estimator in enumerate(classifier.estimators_):
        answer = graph.classify(estimator, x)
        if classifier.voting == "soft":
            vote = probabilities_of(answer)
        else:
            column = graph.node("Reshape", answer.label, graph.constant([-1, 1], np.int64))
            vote = graph.double(graph.node("Equal", column, classes))
        if weights is not None:
            vote = graph.multiply(vote, graph.constant(float(weights[place])))
        total = vote if total is None else graph.add(total, vote)
    assert total is not None
    if classifier.voting == "hard":
        return Answer(graph.largest(total))
    count = float(len(classifier.estimators_) if weights is None else np.sum(weights))
    probabilities = graph.divide(total, graph.constant(count))
    return Answer(graph.largest(probabilities), probabilities)


def emit_stacking(graph: Graph, classifier: StackingClassifier, x: str) -> Answer:
    """Add the estimators, and the last one, which reads what they say."""
    parts = []
    for estimator, method in zip(classifier.estimators_, classifier.stack_method_, strict=True):
        answer = graph.classify(estimator, x)
        if method == "decision_function":
            parts.append(decision_of(estimator, answer))
        elif method != "predict_proba":
            raise NotConvertible("it stacks labels")
        elif len(classifier.classes_) == 2:
            parts.append(graph.columns(probabilities_of(answer), [1]))
        else:
            parts.append(probabilities_of(answer))
    if classifier.passthrough:
        parts.append(x)
    return graph.classify(classifier.final_estimator_, graph.beside(parts))


def emit_threshold(graph: Graph, classifier: TunedThresholdClassifierCV, x: str) -> Answer:
    """Add two classes that are parted at the threshold found, which itself is class 1."""
    fitted = classifier.estimator_
    answer = graph.classify(fitted, x)
    positive = classifier._curve_scorer._get_pos_label()
    if positive is not None and positive != classifier.classes_[1]:
        raise NotConvertible("its positive label is the first class")
    methods = classifier._get_response_method()
    wanted = [methods] if isinstance(methods, str) else list(methods)
    method = next(name for name in wanted if hasattr(fitted, name))
    if method == "predict_proba":
        scores = graph.columns(probabilities_of(answer), [1])
    else:
        scores = decision_of(fitted, answer)
    label = graph.side(scores, "GreaterOrEqual", float(classifier.best_threshold_))
    return Answer(label, answer.probabilities, answer.decision)


def emit_self_training(graph: Graph, classifier: SelfTrainingClassifier, x: str) -> Answer:
    """Add the estimator that was trained in the last round."""
    return graph.classify(classifier.estimator_, x)
