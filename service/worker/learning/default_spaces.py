"""The space of each classifier that a search draws from where the request names none.

Each holds what matters most for that classifier, in ranges that suit columns as preprocessing
leaves them.
"""

import math
from collections.abc import Mapping
from typing import Any

from service.worker.learning.classifiers import ModelType
from service.worker.learning.spaces import Space, read

_Asked = Mapping[str, Any]


def _log(low: float, high: float) -> _Asked:
    return {"low": low, "high": high, "log": True}


def _even(low: float, high: float) -> _Asked:
    return {"low": low, "high": high}


_BOTH = [False, True]
_ONE_TREE: _Asked = {
    "criterion": ["gini", "entropy"],
    "max_depth": _log(2, 32),
    "min_samples_leaf": _log(1, 32),
}
_FOREST: _Asked = {
    "n_estimators": _log(50, 300),
    "max_depth": _log(3, 32),
    "min_samples_leaf": _log(1, 16),
    "max_features": _even(0.1, 1.0),
}

_SPACES: Mapping[str, _Asked] = {
    "AdaBoostClassifier": {"n_estimators": _log(20, 200), "learning_rate": _log(0.01, 2.0)},
    "BaggingClassifier": {
        "n_estimators": _log(10, 100),
        "max_samples": _even(0.3, 1.0),
        "max_features": _even(0.3, 1.0),
    },
    "BernoulliNB": {"alpha": _log(1e-3, 10), "binarize": _even(0.0, 1.0), "fit_prior": _BOTH},
    "CalibratedClassifierCV": {"method": ["sigmoid", "isotonic"], "ensemble": _BOTH},
    "ComplementNB": {"alpha": _log(1e-3, 10), "norm": _BOTH},
    "DecisionTreeClassifier": _ONE_TREE,
    "DummyClassifier": {"strategy": ["prior", "most_frequent"]},
    "ExtraTreeClassifier": _ONE_TREE,
    "ExtraTreesClassifier": _FOREST,
    "GaussianNB": {"var_smoothing": _log(1e-12, 1)},
    "GaussianProcessClassifier": {
        "optimizer": ["fmin_l_bfgs_b", None],
        "multi_class": ["one_vs_rest", "one_vs_one"],
    },
    "GradientBoostingClassifier": {
        "n_estimators": _log(50, 300),
        "learning_rate": _log(0.01, 0.3),
        "max_depth": _even(2, 6),
        "min_samples_leaf": _log(1, 32),
        "subsample": _even(0.5, 1.0),
    },
    "HistGradientBoostingClassifier": {
        "max_iter": _log(50, 300),
        "learning_rate": _log(0.01, 0.3),
        "max_leaf_nodes": _log(4, 64),
        "min_samples_leaf": _log(5, 50),
        "l2_regularization": _log(1e-6, 10),
    },
    "KNeighborsClassifier": {
        "n_neighbors": _log(1, 50),
        "weights": ["uniform", "distance"],
        "p": [1, 2],
    },
    "LabelPropagation": {
        "kernel": ["rbf", "knn"],
        "gamma": _log(0.01, 20),
        "n_neighbors": _log(2, 30),
    },
    "LabelSpreading": {
        "kernel": ["rbf", "knn"],
        "gamma": _log(0.01, 20),
        "n_neighbors": _log(2, 30),
        "alpha": _even(0.05, 0.9),
    },
    "LinearDiscriminantAnalysis": {"solver": ["lsqr"], "shrinkage": _even(0.0, 1.0)},
    "LinearSVC": {"C": _log(1e-3, 100), "loss": ["squared_hinge", "hinge"]},
    "LogisticRegression": {"C": _log(1e-4, 1e3), "max_iter": [1000]},
    "LogisticRegressionCV": {"Cs": _even(5, 20), "max_iter": [1000]},
    "MLPClassifier": {
        "hidden_layer_sizes": [[100], [50], [200], [50, 50], [100, 50]],
        "activation": ["relu", "tanh"],
        "alpha": _log(1e-6, 0.1),
        "learning_rate_init": _log(1e-4, 0.01),
    },
    "MultinomialNB": {"alpha": _log(1e-3, 10), "fit_prior": _BOTH},
    "NearestCentroid": {
        "shrink_threshold": _log(0.01, 2),
        "priors": ["uniform", "empirical"],
    },
    "NuSVC": {"nu": _even(0.05, 0.5), "gamma": _log(1e-4, 1), "kernel": ["rbf", "sigmoid"]},
    "Perceptron": {"penalty": [None, "l2", "l1", "elasticnet"], "alpha": _log(1e-6, 0.01)},
    "QuadraticDiscriminantAnalysis": {"reg_param": _log(1e-3, 1)},
    "RadiusNeighborsClassifier": {"radius": _log(0.3, 3), "weights": ["uniform", "distance"]},
    "RandomForestClassifier": {**_FOREST, "criterion": ["gini", "entropy"]},
    "RidgeClassifier": {"alpha": _log(1e-3, 1e4)},
    "RidgeClassifierCV": {
        "alphas": [[0.1, 1, 10], [0.01, 0.1, 1, 10, 100], [1, 10, 100, 1000]],
        "fit_intercept": [True, False],
    },
    "SGDClassifier": {
        "loss": ["hinge", "log_loss", "modified_huber"],
        "penalty": ["l2", "l1", "elasticnet"],
        "alpha": _log(1e-6, 0.1),
    },
    "SVC": {"C": _log(0.01, 1e3), "gamma": _log(1e-4, 1), "kernel": ["rbf", "linear"]},
}


def default_space(kind: ModelType, rows: int, width: int) -> Space:
    """Return the space of a classifier that is fitted on that many rows and inputs.

    Neighbours are no more than the rows, and a radius grows with the distance between rows.
    """
    asked = {**_SPACES[kind.name]}
    if "n_neighbors" in asked:
        low, high = asked["n_neighbors"]["low"], min(asked["n_neighbors"]["high"], rows)
        asked["n_neighbors"] = _log(low, high) if low < high else [max(high, 1)]
    if "radius" in asked:
        unit = math.sqrt(max(width, 1))
        asked["radius"] = _log(asked["radius"]["low"] * unit, asked["radius"]["high"] * unit)
    space, problems = read(kind, asked, "")
    assert not problems, problems
    return space
