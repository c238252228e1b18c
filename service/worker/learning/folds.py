"""The rows to train on in folds: each candidate is fitted on all but one, and scored on that."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline

from service.common.errors import Problem, UnusableData, clip
from service.schema.search import NEED_PROBABILITIES, Metric
from service.worker.learning import classifiers, evaluation, preprocessing
from service.worker.learning.plan import Plan
from service.worker.sklearn_models.estimator_walk import predict

_MOST_KEPT_BYTES = 256 * 2**20
"""Prepared folds beyond that are prepared again for each candidate."""

REFUSALS = (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError)
"""What scikit-learn raises for parameters and rows that do not fit together."""

_Parts = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The prepared rows to fit on, and those to score."""


@contextmanager
def reasons(at: str = "/model_type") -> Iterator[None]:
    """Turn an error of scikit-learn into a sentence for the client."""
    try:
        yield
    except REFUSALS as error:
        reason = f"scikit-learn cannot fit this classifier to these rows: {sentence(error)}"
        raise UnusableData(reason, [Problem(at, sentence(error))]) from error


def sentence(error: BaseException) -> str:
    """Return the first line of what scikit-learn said."""
    return clip(str(error).strip().partition("\n")[0], 300)


def preparation(plan: Plan) -> Any:
    """Return the unfitted preprocessing of a plan."""
    if plan.request.preprocessing == "none":
        return "passthrough"
    return preprocessing.transformer(
        plan.table, plan.features, plan.kind.scale, plan.kind.takes_missing, plan.tiny
    )


def classifier(plan: Plan) -> Any:
    """Return the unfitted classifier of a plan."""
    return classifiers.build(
        plan.kind.name,
        plan.request.params,
        plan.request.seed,
        plan.class_weight,
        plan.folds,
    )


class Folds:
    """Stratified folds of the rows to train on, the same for every candidate."""

    def __init__(self, plan: Plan, count: int) -> None:
        self.plan = plan
        splitter = StratifiedKFold(count, shuffle=True, random_state=plan.request.seed)
        self._splits = list(splitter.split(plan.train, plan.codes[plan.train]))
        self._frame: pd.DataFrame = plan.table.to_frame(plan.features)
        self._y = plan.y
        self._kept: dict[tuple[object, ...], _Parts] = {}
        cells = len(plan.train) * max(plan.width, len(plan.features))
        self._keeps = 8 * cells * count <= _MOST_KEPT_BYTES

    def __len__(self) -> int:
        """Return the number of folds."""
        return len(self._splits)

    def score(self, fold: int, model_type: str, params: Mapping[str, Any], metric: Metric) -> float:
        """Fit a candidate on the other folds and score it on this one.

        Raises UnusableData where scikit-learn refuses it, or where it has no such metric.
        """
        plan = self.plan.of(model_type, params)
        inner, outer = self._splits[fold]
        fitted, scored = plan.train[inner], plan.train[outer]
        with reasons():
            X_fit, X_score = self._prepared(plan, fold)
            estimator = classifier(plan).fit(X_fit, self._y[fitted])
            if metric in NEED_PROBABILITIES:
                predicted, probabilities = predict(estimator, X_score)
            else:
                predicted = np.searchsorted(estimator.classes_, estimator.predict(X_score))
                probabilities = None
        value = evaluation.score(
            metric, plan.codes[scored], predicted, probabilities, len(plan.classes)
        )
        if value is None:
            message = f"there is no {metric} of what it answers"
            raise UnusableData(f"It cannot be scored: {message}.", [Problem("/search", message)])
        return value

    def _prepared(self, plan: Plan, fold: int) -> _Parts:
        key = (fold, plan.kind.scale, plan.kind.takes_missing, bool(plan.tiny))
        if key in self._kept:
            return self._kept[key]
        inner, outer = self._splits[fold]
        prepare = clone(Pipeline([("prepare", preparation(plan))]))
        X_fit = prepare.fit_transform(self._frame.iloc[plan.train[inner]])
        parts = X_fit, prepare.transform(self._frame.iloc[plan.train[outer]])
        if self._keeps:
            self._kept[key] = parts
        return parts
