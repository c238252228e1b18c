"""Whether the trees of a loaded classifier stay inside their own arrays.

scikit-learn follows a tree's indexes without looking at them, so a crafted tree could read any
memory, or never end; skops trusts none of these types for that reason.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree import BaseDecisionTree

from service.worker.sklearn_models.estimator_walk import estimators

Numbers = NDArray[Any]


def has_sound_trees(root: Any) -> bool:
    """Return whether every tree inside `root` can be walked for any row of its width."""
    return all(
        _nodes_are_sound(left, right, leaf, feature, width)
        for estimator in estimators(root)
        for left, right, leaf, feature, width in _trees(estimator)
    ) and all(_is_sound_search(estimator) for estimator in estimators(root))


def _nodes_are_sound(
    left: Numbers, right: Numbers, leaf: Numbers, feature: Numbers, width: int
) -> bool:
    count, inner = len(leaf), ~leaf
    place = np.arange(count)[inner]
    # A child comes after its parent, so that every walk ends.
    return count > 0 and all(
        bool(fact.all())
        for fact in (
            left[inner] > place,
            right[inner] > place,
            left[inner] < count,
            right[inner] < count,
            feature[inner] >= 0,
            feature[inner] < width,
        )
    )


def _trees(estimator: Any) -> Iterator[tuple[Numbers, Numbers, Numbers, Numbers, int]]:
    """List the trees that `estimator` walks through, each with the width of the rows it gives."""
    if isinstance(estimator, HistGradientBoostingClassifier) and hasattr(estimator, "_predictors"):
        for predictor in (p for stage in estimator._predictors for p in stage):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            left, right = (nodes[side].astype(np.int64) for side in ("left", "right"))
            width = estimator.n_features_in_
            yield left, right, leaf, nodes["feature_idx"].astype(np.int64), width
    if isinstance(estimator, BaseForest | BaseGradientBoosting):
        owned = np.ravel(getattr(estimator, "estimators_", []))
    elif isinstance(estimator, BaseDecisionTree) and hasattr(estimator, "tree_"):
        owned = np.array([estimator], object)
    else:
        return
    for fitted in owned:
        tree = fitted.tree_
        leaf = tree.children_left == -1
        width = estimator.n_features_in_
        yield tree.children_left, tree.children_right, leaf, tree.feature, width


def _is_sound_search(estimator: Any) -> bool:
    """Return whether a tree for nearest neighbours keeps to its own points and nodes."""
    search = getattr(estimator, "_tree", None)
    if not isinstance(search, KDTree | BallTree):
        return True
    state = search.__getstate__()
    points, order, nodes, bounds = (np.asarray(array) for array in search.get_arrays())
    leaf_size, levels, count = (int(value) for value in state[4:7])
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    facts = (
        leaf_size > 0,
        levels > 0,
        count == len(nodes) == bounds.shape[1] == 2**levels - 1,
        len(order) == len(points),
        points.shape[1] == bounds.shape[2] == estimator.n_features_in_,
        ((order >= 0) & (order < len(points))).all(),
        (nodes["idx_start"] >= 0).all(),
        (nodes["idx_end"] >= nodes["idx_start"]).all(),
        (nodes["idx_end"] <= len(points)).all(),
        (2 * inner + 2 < count).all(),
    )
    return all(bool(fact) for fact in facts)
