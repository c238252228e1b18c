"""Naive Bayes and quadratic discriminants: the joint log likelihood of each class, written out."""

from typing import Any

import numpy as np
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB

from service.worker.onnx_export.builder import Answer, Graph


def _from_likelihood(graph: Graph, likelihood: str) -> Answer:
    top = graph.node("ReduceMax", likelihood, graph.constant([1], np.int64), keepdims=1)
    probabilities = graph.softmax(graph.subtract(likelihood, top))
    return Answer(graph.largest(likelihood), probabilities)


def emit_gaussian(graph: Graph, classifier: GaussianNB, x: str) -> Answer:
    """Add a normal distribution for each class and feature."""
    parts = []
    for mean, variance, prior in zip(
        classifier.theta_, classifier.var_, classifier.class_prior_, strict=True
    ):
        away = graph.subtract(x, graph.constant(mean))
        squares = graph.divide(graph.multiply(away, away), graph.constant(variance))
        half = graph.multiply(graph.constant(0.5), graph.sum(squares))
        height = graph.constant(-0.5 * np.sum(np.log(2.0 * np.pi * variance)))
        parts.append(graph.add(graph.constant(np.log(prior)), graph.subtract(height, half)))
    return _from_likelihood(graph, graph.beside(parts))


def emit_bernoulli(graph: Graph, classifier: BernoulliNB, x: str) -> Answer:
    """Add a coin for each class and feature."""
    if classifier.binarize is not None:
        x = graph.double(graph.node("Greater", x, graph.constant(float(classifier.binarize))))
    absent = np.log(1 - np.exp(classifier.feature_log_prob_))
    weights = (classifier.feature_log_prob_ - absent).T
    offset = classifier.class_log_prior_ + absent.sum(axis=1)
    return _from_likelihood(graph, graph.affine(x, weights, offset))


def emit_counts(graph: Graph, classifier: MultinomialNB | ComplementNB, x: str) -> Answer:
    """Add weights of counts; ComplementNB leaves the prior out, as scikit-learn does."""
    prior = classifier.class_log_prior_
    if type(classifier) is ComplementNB:
        prior = np.zeros_like(prior)
    return _from_likelihood(graph, graph.affine(x, classifier.feature_log_prob_.T, prior))


def emit_quadratic(graph: Graph, classifier: QuadraticDiscriminantAnalysis, x: str) -> Answer:
    """Add a rotation for each class, and the squared distance from its mean."""
    parts, logs = [], []
    fitted: Any = zip(classifier.means_, classifier.rotations_, classifier.scalings_, strict=True)
    for mean, rotation, scaling in fitted:
        away = graph.subtract(x, graph.constant(mean))
        turned = graph.node("MatMul", away, graph.constant(rotation * scaling**-0.5))
        parts.append(graph.sum(graph.multiply(turned, turned)))
        logs.append(np.sum(np.log(scaling)))
    spread = graph.add(graph.beside(parts), graph.constant(logs))
    halves = graph.multiply(graph.constant(-0.5), spread)
    return _from_likelihood(graph, graph.add(halves, graph.constant(np.log(classifier.priors_))))
