"""The fit of a planned training, and its evaluation on held-out rows."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ParameterGrid, ParameterSampler, StratifiedKFold
from sklearn.pipeline import Pipeline

from service.common.errors import Problem, UnusableData, clip
from service.schema.contract import Schema
from service.worker.learning import classifiers, evaluation, preprocessing
from service.worker.learning.evaluation import ClassReport
from service.worker.learning.plan import Plan

Progress = Callable[[str, float], None]
"""Called with the current stage and the share of the training that is done."""

_PROBABLE_IS_PREDICTED = frozenset(
    {"BaggingClassifier", "ExtraTreesClassifier", "RandomForestClassifier"}
)
"""Their `predict` is the argmax of `predict_proba`, so that one of the two is enough."""

_SLOW = frozenset(
    {
        *("GaussianProcessClassifier", "KNeighborsClassifier", "LabelPropagation"),
        *("LabelSpreading", "NuSVC", "RadiusNeighborsClassifier", "SVC"),
    }
)
_SAMPLE = 500
"""Training rows that a slow classifier predicts: all would take as long as the fit."""


_REFUSALS = (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError)
"""What scikit-learn raises for parameters and rows that do not fit together."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted classifier and its evaluation; rows are those of the data set."""

    pipeline: Pipeline
    schema: Schema
    params: Mapping[str, Any]
    """Those of the request, and the best that a search found."""
    X: NDArray[np.float64]
    """Every row, coded as the schema says: [rows, features]."""
    codes: NDArray[np.int64]
    """The true class of every row, an index into the schema's classes."""
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    checked: NDArray[np.int64]
    """The rows that were predicted: all, or the test rows and a sample where that is slow."""
    predicted: NDArray[np.int64]
    """What `pipeline.predict` gives for the checked rows, as an index into the classes."""
    probabilities: NDArray[np.float64] | None
    """What `pipeline.predict_proba` gives for the checked rows, where there is such a thing."""
    held_out: NDArray[np.float64] | None
    """The probabilities of the test rows by the pipeline that was measured, before a refit."""
    metrics: Mapping[str, float]
    report: list[ClassReport]
    confusion: NDArray[np.int64]
    """Test rows by [true class, predicted class]."""
    notes: list[str]
    seconds: Mapping[str, float]


@dataclass(slots=True)
class _Log:
    """The stages of a training with their seconds, and its warnings as sentences."""

    progress: Progress
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, share: float) -> Iterator[None]:
        """Time a stage, and keep what scikit-learn warns of in it."""
        self.report(name, share)
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            self._note(warning)
        self.seconds[name] = time.perf_counter() - start

    def report(self, stage: str, share: float) -> None:
        """Report the progress."""
        self.progress(stage, round(share, 4))

    def _note(self, warning: warnings.WarningMessage) -> None:
        if issubclass(warning.category, ConvergenceWarning):
            note = "The fit did not converge; more iterations (max_iter) or other scales may help."
        else:
            first = str(warning.message).strip().partition("\n")[0]
            note = f"scikit-learn warns: {clip(first, 200)}"
        if note not in self.notes and len(self.notes) < 10:
            self.notes.append(note)


def _silent(_stage: str, _share: float) -> None:
    pass


def fit(plan: Plan, progress: Progress = _silent) -> Fitted:
    """Fit, measure on the rows held out and, if asked to, fit again on all rows.

    Raises UnusableData where scikit-learn finds that it cannot fit. Stages: search,
    cross-validation, fit, evaluate, refit.
    """
    request, log = plan.request, _Log(progress)
    y = plan.y
    frame = plan.table.to_frame(plan.features)
    params = dict(request.params)
    metrics: dict[str, float] = {}
    if request.search:
        with log.stage("search", 0.0):
            params |= _search(plan, frame, y, log)
    if request.cv:
        with log.stage("cross-validation", 0.4):
            scores = _cross_validate(plan, params, frame, y, log)
            metrics["cv_accuracy_mean"] = float(np.mean(scores))
            metrics["cv_accuracy_std"] = float(np.std(scores))
    pipeline = _pipeline(plan, params)
    with log.stage("fit", 0.5), _reasons():
        pipeline.fit(frame.iloc[plan.train], y[plan.train])
    checked = _checked(plan)
    with log.stage("evaluate", 0.8), _reasons():
        predicted, probabilities = _predict(pipeline, frame.iloc[checked], plan)
        tested = np.isin(checked, plan.test, assume_unique=True)
        held_out = None if probabilities is None else probabilities[tested]
        truth = plan.codes[plan.test]
        answered = predicted[tested]
        confusion = evaluation.confusion(truth, answered, len(plan.classes))
        report = evaluation.report(truth, answered, plan.classes)
        metrics |= evaluation.measure(truth, answered, held_out, len(plan.classes))
        right = predicted[~tested] == plan.codes[checked[~tested]]
        metrics["train_accuracy"] = float(np.mean(right))
    rows = plan.train
    if request.refit:
        with log.stage("refit", 0.9), _reasons():
            rows = np.arange(plan.table.rows)
            pipeline = _pipeline(plan, params).fit(frame, y)
            predicted, probabilities = _predict(pipeline, frame.iloc[checked], plan)
    schema = preprocessing.schema(
        pipeline,
        plan.table,
        plan.features,
        rows,
        plan.classes,
        target=plan.target,
        probabilities=probabilities is not None,
        unknown_categories=request.unknown_categories,
        missing=plan.table.missing_texts,
        excluded=plan.table.excluded,
    )
    absent = [k for k, support in enumerate(confusion.sum(axis=1)) if not support]
    if absent:
        shown = ", ".join(clip(repr(plan.classes[k]), 32) for k in absent[:3])
        log.notes.append(f"No held-out row is of class {shown}, so nothing is measured of it.")
    progress("done", 1.0)
    return Fitted(
        pipeline=pipeline,
        schema=schema,
        params=params,
        X=preprocessing.encode(plan.table, schema),
        codes=plan.codes,
        train=plan.train,
        test=plan.test,
        checked=checked,
        predicted=predicted,
        probabilities=probabilities,
        held_out=held_out,
        metrics=metrics,
        report=report,
        confusion=confusion,
        notes=log.notes,
        seconds=log.seconds,
    )


def _checked(plan: Plan) -> NDArray[np.int64]:
    """Choose the rows to predict, in order: the test rows, and training rows evenly spread."""
    if plan.kind.name not in _SLOW or len(plan.train) <= _SAMPLE:
        return np.arange(plan.table.rows)
    places = np.linspace(0, len(plan.train) - 1, _SAMPLE).astype(np.int64)
    return np.sort(np.concatenate((plan.test, plan.train[places])))


def _prepare(plan: Plan) -> Any:
    if plan.request.preprocessing == "none":
        return "passthrough"
    return preprocessing.transformer(
        plan.table, plan.features, plan.kind.scale, plan.kind.takes_missing, plan.tiny
    )


def _classifier(plan: Plan, params: Mapping[str, Any]) -> Any:
    return classifiers.build(
        plan.kind.name, params, plan.request.seed, plan.class_weight, plan.folds
    )


def _pipeline(plan: Plan, params: Mapping[str, Any]) -> Pipeline:
    return Pipeline([("prepare", _prepare(plan)), ("classify", _classifier(plan, params))])


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn an error of scikit-learn into a sentence for the client."""
    try:
        yield
    except _REFUSALS as error:
        first = str(error).strip().partition("\n")[0]
        reason = f"scikit-learn cannot fit this classifier to these rows: {clip(first, 300)}"
        raise UnusableData(reason, [Problem("/model_type", clip(first, 300))]) from error


def _predict(
    pipeline: Pipeline, frame: pd.DataFrame, plan: Plan
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Return each row's class index, and the probabilities, preparing the rows once."""
    ready = pipeline[:-1].transform(frame)
    classifier = pipeline["classify"]
    probabilities = None
    if hasattr(classifier, "predict_proba"):
        probabilities = np.asarray(classifier.predict_proba(ready), dtype=np.float64)
    if probabilities is not None and plan.kind.name in _PROBABLE_IS_PREDICTED:
        return probabilities.argmax(axis=1), probabilities
    labels = classifier.predict(ready)
    predicted: NDArray[np.int64] = np.searchsorted(classifier.classes_, labels)
    return predicted, probabilities


def _folded(
    plan: Plan, frame: pd.DataFrame, y: NDArray[Any], folds: int
) -> Iterator[tuple[Any, NDArray[Any], Any, NDArray[Any]]]:
    """Return the prepared rows and labels of each fold of the training part: fit, then score."""
    splitter = StratifiedKFold(folds, shuffle=True, random_state=plan.request.seed)
    unfitted = Pipeline([("prepare", _prepare(plan))])
    for inner, outer in splitter.split(plan.train, plan.codes[plan.train]):
        fitting, scoring = plan.train[inner], plan.train[outer]
        prepare = clone(unfitted)
        ready = prepare.fit_transform(frame.iloc[fitting])
        yield ready, y[fitting], prepare.transform(frame.iloc[scoring]), y[scoring]


def _cross_validate(
    plan: Plan, params: Mapping[str, Any], frame: pd.DataFrame, y: NDArray[Any], log: _Log
) -> list[float]:
    folds = plan.request.folds
    scores: list[float] = []
    with _reasons():
        for X_fit, y_fit, X_score, y_score in _folded(plan, frame, y, folds):
            classifier = _classifier(plan, params).fit(X_fit, y_fit)
            scores.append(float(np.mean(classifier.predict(X_score) == y_score)))
            log.report("cross-validation", 0.4 + 0.1 * len(scores) / folds)
    return scores


def _search(plan: Plan, frame: pd.DataFrame, y: NDArray[Any], log: _Log) -> dict[str, Any]:
    """Return the candidate with the best mean accuracy over the folds; the first of equal ones.

    Folds are the outer loop, so that each is prepared once for all candidates.
    """
    request = plan.request
    search, folds = request.search, request.folds
    if search is None:
        return {}
    candidates = list(
        ParameterGrid(search.params)
        if search.candidates == search.combinations
        else ParameterSampler(search.params, search.candidates, random_state=request.seed)
    )
    scores = np.zeros(len(candidates))
    refusal: Exception | None = None
    done = 0
    for X_fit, y_fit, X_score, y_score in _folded(plan, frame, y, folds):
        for index, candidate in enumerate(candidates):
            try:
                classifier = _classifier(plan, {**request.params, **candidate}).fit(X_fit, y_fit)
                scores[index] += np.mean(classifier.predict(X_score) == y_score)
            except _REFUSALS as error:
                scores[index], refusal = -np.inf, error
            done += 1
            log.report("search", 0.4 * done / (len(candidates) * folds))
    refused = int(np.isneginf(scores).sum())
    if refused == len(candidates) and refusal is not None:
        with _reasons():
            raise refusal
    if refused:
        log.notes.append(
            f"{refused} of {len(candidates)} candidates of the search cannot be fitted."
        )
    return dict(candidates[int(np.argmax(scores))])
