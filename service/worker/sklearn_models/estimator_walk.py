"""The estimators inside a fitted estimator, and what is true of all of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.tree import BaseDecisionTree, DecisionTreeClassifier, ExtraTreeClassifier


def estimators(root: Any) -> Iterator[Any]:
    """Walk through `root` and every estimator that it holds, each once, templates included."""
    seen: set[int] = set()
    waiting: list[Any] = [root]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, BaseEstimator | _CalibratedClassifier):
            if id(thing) not in seen:
                seen.add(id(thing))
                yield thing
                waiting.extend(vars(thing).values())
        elif isinstance(thing, list | tuple):
            waiting.extend(thing)
        elif isinstance(thing, Mapping):
            waiting.extend(thing.values())
        elif isinstance(thing, np.ndarray) and thing.dtype == object:
            waiting.extend(thing.flat)


def use_one_job(root: Any) -> None:
    """Set `n_jobs` to 1 wherever it exists: threads cost more than a row does, and reorder sums."""
    for estimator in estimators(root):
        if hasattr(estimator, "n_jobs"):
            estimator.n_jobs = 1


def forget_names(root: Any) -> None:
    """Drop the column names seen in training, so that a matrix without names causes no warning."""
    for estimator in estimators(root):
        vars(estimator).pop("feature_names_in_", None)


def text_columns(root: Any) -> Iterator[str]:
    """Yield the columns that an encoder reads as text, with the names that are known of them."""
    for estimator in estimators(root):
        if isinstance(estimator, ColumnTransformer):
            for _, block, columns in estimator.transformers_:
                for inner in estimators(block):
                    yield from _texts(inner, list(columns))
    for estimator in estimators(root):
        yield from _texts(estimator, list(getattr(estimator, "feature_names_in_", ())))


def _texts(encoder: Any, columns: Sequence[object]) -> Iterator[str]:
    for index, categories in enumerate(getattr(encoder, "categories_", ())):
        if any(isinstance(category, str) for category in categories):
            column = columns[index] if index < len(columns) else index
            yield column if isinstance(column, str) else f"x{column}"


def reads_float32(root: Any) -> bool:
    """Return whether a number beyond float32's range would be refused somewhere inside."""
    return any(isinstance(e, BaseDecisionTree | BaseGradientBoosting) for e in estimators(root))


def is_forest(classifier: Any) -> bool:
    """Return whether the probabilities are sums of leaves, which a graph repeats exactly."""
    if type(classifier) is BaggingClassifier:
        return all(isinstance(e, BaseDecisionTree) for e in classifier.estimators_)
    return type(classifier) in (
        DecisionTreeClassifier,
        ExtraTreeClassifier,
        RandomForestClassifier,
        ExtraTreesClassifier,
    )


def predicts_most_probable(classifier: Any) -> bool:
    """Return whether `predict` is, in scikit-learn's own code, the argmax of `predict_proba`."""
    if type(classifier) is VotingClassifier:
        return bool(classifier.voting == "soft")
    if type(classifier) is BaggingClassifier:
        return hasattr(classifier.estimators_[0], "predict_proba")
    return type(classifier) is CalibratedClassifierCV or is_forest(classifier)


def predict(classifier: Any, prepared: Any) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Return the index of the class of each row, and the probabilities where there are any."""
    probabilities = None
    if hasattr(classifier, "predict_proba"):
        probabilities = np.asarray(classifier.predict_proba(prepared), dtype=np.float64)
        if predicts_most_probable(classifier):
            return probabilities.argmax(axis=1), probabilities
    return np.searchsorted(classifier.classes_, classifier.predict(prepared)), probabilities
