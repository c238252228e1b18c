"""Support vector machines: a kernel, a decision for each pair of classes, and votes."""

from itertools import combinations

import numpy as np
from sklearn.svm import SVC, NuSVC

from service.worker.onnx_export.builder import Answer, Graph


def emit_svc(graph: Graph, classifier: SVC | NuSVC, x: str) -> Answer:
    """Add libsvm's decision for each pair, then the vote that `predict` holds."""
    kernel = _kernel(graph, classifier, x)
    classes = len(classifier.classes_)
    pairs = list(combinations(range(classes), 2))
    decision = graph.affine(kernel, _pair_weights(classifier, pairs), classifier._intercept_)
    zero = graph.constant(0.0)
    if classes == 2:
        # libsvm's decision is positive for class 0; scikit-learn inverts its sign.
        return Answer(graph.side(decision, "LessOrEqual"))

    first, second = np.zeros((2, len(pairs), classes))
    for pair, (i, j) in enumerate(pairs):
        first[pair, i] = second[pair, j] = 1.0
    # `predict` votes for i where the decision is > 0, `decision_function` for j where it is < 0.
    positive = graph.double(graph.node("Greater", decision, zero))
    label = graph.largest(graph.affine(positive, first - second, second.sum(axis=0)))
    if not classifier.break_ties:
        return Answer(label)

    negative = graph.double(graph.node("Less", decision, zero))
    votes = graph.affine(negative, second - first, first.sum(axis=0))
    confidence = graph.node("MatMul", decision, graph.constant(first - second))
    size = graph.add(graph.node("Abs", confidence), graph.constant(1.0))
    share = graph.divide(confidence, graph.multiply(graph.constant(3.0), size))
    return Answer(graph.largest(graph.add(votes, share)))


def _kernel(graph: Graph, classifier: SVC | NuSVC, x: str) -> str:
    """Add the kernel between each row and each support vector."""
    vectors = classifier.support_vectors_
    gamma = graph.constant(classifier._gamma)
    if classifier.kernel == "rbf":
        # Around the vectors' mean the three terms of the squared distance lose little.
        centre = vectors.mean(axis=0)
        vectors = vectors - centre
        x = graph.subtract(x, graph.constant(centre))
        squares = graph.sum(graph.multiply(x, x))
        rest = graph.affine(x, -2.0 * vectors.T, (vectors * vectors).sum(axis=1))
        distance = graph.node("Max", graph.add(squares, rest), graph.constant(0.0))
        return graph.node("Exp", graph.multiply(graph.node("Neg", gamma), distance))
    product = graph.node("MatMul", x, graph.constant(vectors.T))
    if classifier.kernel == "linear":
        return product
    inner = graph.add(graph.multiply(gamma, product), graph.constant(classifier.coef0))
    if classifier.kernel == "sigmoid":
        return graph.node("Tanh", inner)
    return graph.node("Pow", inner, graph.constant(float(classifier.degree)))  # poly


def _pair_weights(
    classifier: SVC | NuSVC, pairs: list[tuple[int, int]]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Spread the dual coefficients over the pairs: [support vectors, pairs].

    libsvm keeps, for a vector of class i, its coefficient against class j in row j - 1 if j > i,
    else in row j.
    """
    dual = classifier._dual_coef_
    ends = np.cumsum(classifier._n_support)
    weights = np.zeros((dual.shape[1], len(pairs)))
    for pair, (i, j) in enumerate(pairs):
        of_i = slice(ends[i] - classifier._n_support[i], ends[i])
        of_j = slice(ends[j] - classifier._n_support[j], ends[j])
        weights[of_i, pair] = dual[j - 1, of_i]
        weights[of_j, pair] = dual[i, of_j]
    return weights
