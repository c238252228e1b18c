"""Decision trees and their sums, to the last bit.

ONNX's TreeEnsemble (ai.onnx.ml 5) adds one number a leaf; what a leaf says about K classes goes
through a table that is looked up with the number of the leaf.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import BaseDecisionTree

from service.models.classifier import Floats
from service.worker.onnx_export.builder import TREES_DOMAIN, Answer, Graph, NotConvertible

Ints = NDArray[np.int64]

LESS_OR_EQUAL, SUM, NO_TRANSFORM = 0, 1, 0


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree: an entry a node in each array; node 0 is the root."""

    left: Ints
    right: Ints
    leaf: NDArray[np.bool_]
    feature: Ints
    threshold: Floats
    missing_left: Ints
    """1 where a missing value goes left."""

    @classmethod
    def from_fitted(cls, fitted: BaseDecisionTree, features: Ints | None = None) -> "Tree":
        """Read a fitted tree, whose column c is column `features[c]` of the matrix."""
        tree = fitted.tree_
        leaf = tree.children_left == -1
        feature = np.where(leaf, 0, tree.feature)
        return cls(
            tree.children_left,
            tree.children_right,
            leaf,
            feature if features is None else np.asarray(features)[feature],
            tree.threshold,
            np.asarray(tree.missing_go_to_left, np.int64),
        )

    @classmethod
    def constant(cls) -> "Tree":
        """Make a tree of one leaf."""
        zero = np.zeros(1, np.int64)
        return cls(zero, zero, np.ones(1, np.bool_), zero, np.zeros(1), zero)


def leaf_values(fitted: BaseDecisionTree) -> Floats:
    """Return what each leaf says, in the order of the leaves: [leaves, K]."""
    tree = fitted.tree_
    values: Floats = tree.value[tree.children_left == -1][:, 0, :]
    return values


def emit_tree(graph: Graph, classifier: BaseDecisionTree, x: str) -> Answer:
    """Add one tree."""
    probabilities = sum_of_leaves(
        graph, x, [Tree.from_fitted(classifier)], [leaf_values(classifier)]
    )
    return Answer(graph.largest(probabilities), probabilities)


def emit_forest(
    graph: Graph, classifier: RandomForestClassifier | ExtraTreesClassifier, x: str
) -> Answer:
    """Add a forest: the mean of its trees."""
    trees = [Tree.from_fitted(tree) for tree in classifier.estimators_]
    values = [leaf_values(tree) for tree in classifier.estimators_]
    return _mean_of_leaves(graph, x, trees, values)


def emit_bagging(graph: Graph, classifier: BaggingClassifier, x: str) -> Answer:
    """Add the mean of all trees, each on its own columns."""
    estimators, columns = classifier.estimators_, classifier.estimators_features_
    if any(len(estimator.classes_) != len(classifier.classes_) for estimator in estimators):
        raise NotConvertible("an estimator inside it has not seen every class")
    trees = [
        Tree.from_fitted(tree, places) for tree, places in zip(estimators, columns, strict=True)
    ]
    return _mean_of_leaves(graph, x, trees, [leaf_values(tree) for tree in estimators])


def _mean_of_leaves(
    graph: Graph, x: str, trees: Sequence[Tree], values: Sequence[Floats]
) -> Answer:
    """Add trees whose mean is the probabilities.

    The label is taken after the division, which can make two classes equal.
    """
    total = sum_of_leaves(graph, x, trees, values)
    probabilities = graph.divide(total, graph.constant(float(len(trees))))
    return Answer(graph.largest(probabilities), probabilities)


def sum_of_leaves(graph: Graph, x: str, trees: Sequence[Tree], values: Sequence[Floats]) -> str:
    """Add up, in the trees' order, the rows of `values` of the leaves that are reached: [N, K].

    The trees read X as float32, as scikit-learn's do.
    """
    table = np.concatenate(values)
    single = graph.single(x)
    if _is_pure(table, len(trees)):
        target = table.argmax(axis=1)
        weights = table[np.arange(len(table)), target]
        kernel = ensemble(graph, single, trees, target, weights, table.shape[1], np.float32)
        return graph.double(kernel)
    counts = np.array([len(rows) for rows in values])
    first = np.cumsum(counts) - counts
    tree_of_leaf = np.repeat(np.arange(len(trees)), counts)
    number = np.arange(len(table)) - first[tree_of_leaf]
    kernel = ensemble(graph, single, trees, tree_of_leaf, number, len(trees), np.float32)
    rows = graph.add(graph.integer(kernel), graph.constant(first, np.int64))
    chosen = graph.node("Gather", graph.constant(table), rows, axis=0)
    return graph.sum(chosen, axis=1, keep=False)


def _is_pure(table: Floats, trees: int) -> bool:
    """Return whether each leaf holds one small whole number: float32 then adds them exactly."""
    whole = bool((table == np.round(table)).all() and (table >= 0).all())
    alone = bool((np.count_nonzero(table, axis=1) <= 1).all())
    return whole and alone and float(table.max()) * trees < 2**24


def ensemble(
    graph: Graph,
    x: str,
    trees: Sequence[Tree],
    target: Ints,
    weights: NDArray[Any],
    targets: int,
    real: type[np.float32] | type[np.float64],
) -> str:
    """Add a TreeEnsemble: each leaf adds its weight to its target, in the trees' order.

    `x` [N, features], the thresholds, the weights and the result [N, targets] are all `real`;
    `target` and `weights` have an entry a leaf, tree by tree.
    """
    roots, nodes = _joined(trees)
    thresholds = nodes.threshold if real is np.float64 else _round_down(nodes.threshold)
    attributes: dict[str, Any] = {}
    if nodes.missing_left.any():
        attributes["nodes_missing_value_tracks_true"] = nodes.missing_left.tolist()
    modes = np.full(len(thresholds), LESS_OR_EQUAL, np.uint8)
    return graph.node(
        "TreeEnsemble",
        x,
        domain=TREES_DOMAIN,
        n_targets=targets,
        aggregate_function=SUM,
        post_transform=NO_TRANSFORM,
        tree_roots=roots,
        nodes_featureids=nodes.feature.tolist(),
        nodes_modes=numpy_helper.from_array(modes, "modes"),
        nodes_splits=numpy_helper.from_array(thresholds, "splits"),
        nodes_truenodeids=nodes.left.tolist(),
        nodes_trueleafs=nodes.left_leaf.tolist(),
        nodes_falsenodeids=nodes.right.tolist(),
        nodes_falseleafs=nodes.right_leaf.tolist(),
        leaf_targetids=np.asarray(target, np.int64).tolist(),
        leaf_weights=numpy_helper.from_array(np.asarray(weights, real), "weights"),
        **attributes,
    )


def _round_down(thresholds: Floats) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each: then x <= both or neither, x a float32."""
    with np.errstate(over="ignore"):
        single = thresholds.astype(np.float32)
    above = single.astype(np.float64) > thresholds
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    return single


class _Nodes(NamedTuple):
    """Inner nodes of trees; a child is an inner node or, where it is a leaf, a leaf."""

    feature: Ints
    threshold: Floats
    missing_left: Ints
    left: Ints
    left_leaf: Ints
    right: Ints
    right_leaf: Ints


def _joined(trees: Sequence[Tree]) -> tuple[list[int], _Nodes]:
    """Return the roots of trees, and the nodes of all of them."""
    roots: list[int] = []
    parts: list[_Nodes] = []
    inner_nodes = leaves = 0
    for tree in trees:
        part = _numbered(tree, inner_nodes, leaves)
        parts.append(part)
        roots.append(inner_nodes)
        inner_nodes += len(part.feature)
        leaves += int(tree.leaf.sum())
    return roots, _Nodes(*map(np.concatenate, zip(*parts, strict=True)))


def _numbered(tree: Tree, inner_nodes: int, leaves: int) -> _Nodes:
    """Number one tree's nodes and leaves on from those of the trees before it."""
    inner = ~tree.leaf
    if not inner.any():
        # The format has no tree of one leaf; a node whose two children are that leaf stands for it.
        zero, one, leaf = np.zeros(1, np.int64), np.ones(1, np.int64), np.array([leaves])
        return _Nodes(zero, np.zeros(1), zero, leaf, one, leaf, one)
    number = np.where(inner, np.cumsum(inner) - 1 + inner_nodes, np.cumsum(tree.leaf) - 1 + leaves)
    left, right = tree.left[inner], tree.right[inner]
    is_leaf = tree.leaf.astype(np.int64)
    return _Nodes(
        tree.feature[inner],
        tree.threshold[inner],
        tree.missing_left[inner],
        number[left],
        is_leaf[left],
        number[right],
        is_leaf[right],
    )
