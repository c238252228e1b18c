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
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline

from service.common.errors import clip
from service.schema.contract import Schema
from service.schema.reference import Reference
from service.worker.learning import evaluation, preprocessing, reference
from service.worker.learning.folds import Folds, classifier, preparation, reasons
from service.worker.learning.importance import with_importance
from service.worker.learning.plan import Plan
from service.worker.sklearn_models.estimator_walk import predict

Progress = Callable[[str, float], None]
"""Called with the current stage and the share of the training that is done."""

_SLOW = frozenset(
    {
        *("GaussianProcessClassifier", "KNeighborsClassifier", "LabelPropagation"),
        *("LabelSpreading", "NuSVC", "RadiusNeighborsClassifier", "SVC"),
    }
)
_SAMPLE = 500
"""Training rows that a slow classifier predicts: all would take as long as the fit."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted classifier and its evaluation; rows are those of the data set."""

    pipeline: Pipeline
    schema: Schema
    params: Mapping[str, Any]
    """Those of the request."""
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
    answered: NDArray[np.int64]
    """The classes of the test rows by the pipeline that was measured, before a refit."""
    held_out: NDArray[np.float64] | None
    """The probabilities of the test rows by the pipeline that was measured, before a refit."""
    metrics: Mapping[str, float]
    report: list[dict[str, object]]
    confusion: NDArray[np.int64]
    """Test rows by [true class, predicted class]."""
    reference: Reference
    """What its later predictions are compared with."""
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

    def share(self, stage: str, start: float, size: float) -> Callable[[float], None]:
        """Return what reports the progress within a stage."""
        return lambda done: self.report(stage, start + size * done)

    def _note(self, warning: warnings.WarningMessage) -> None:
        if issubclass(warning.category, ConvergenceWarning):
            note = "The fit did not converge; more iterations (max_iter) or other scales may help."
        else:
            first = str(warning.message).strip().partition("\n")[0]
            note = f"scikit-learn warns: {clip(first, 200)}"
        if note not in self.notes and len(self.notes) < 10:
            self.notes.append(note)


def fit(plan: Plan, progress: Progress = lambda _stage, _share: None) -> Fitted:
    """Fit, measure on the rows held out and, if asked to, fit again on all rows.

    A search has been made before that, and is not looked at. Raises UnusableData where scikit-learn
    finds that it cannot fit. Stages: cross-validation, fit, evaluate, refit.
    """
    request, log = plan.request, _Log(progress)
    y = plan.y
    frame = plan.table.to_frame(plan.features)
    metrics: dict[str, float] = {}
    if request.cv:
        with log.stage("cross-validation", 0.4):
            report_share = log.share("cross-validation", 0.4, 0.1)
            scores = _cross_validated(plan, Folds(plan, request.cv), report_share)
            metrics["cv_accuracy_mean"] = float(np.mean(scores))
            metrics["cv_accuracy_std"] = float(np.std(scores))
    pipeline = _pipeline(plan)
    with log.stage("fit", 0.5), reasons():
        pipeline.fit(frame.iloc[plan.train], y[plan.train])
    checked = _checked(plan)
    with log.stage("evaluate", 0.8), reasons():
        predicted, probabilities = _predict(pipeline, frame.iloc[checked])
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
        with log.stage("refit", 0.9), reasons():
            rows = np.arange(plan.table.rows)
            pipeline = _pipeline(plan).fit(frame, y)
            predicted, probabilities = _predict(pipeline, frame.iloc[checked])
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
    X = preprocessing.encode(plan.table, schema)
    absent = [k for k, support in enumerate(confusion.sum(axis=1)) if not support]
    if absent:
        shown = ", ".join(clip(repr(plan.classes[k]), 32) for k in absent[:3])
        log.notes.append(f"No held-out row is of class {shown}, so nothing is measured of it.")
    progress("done", 1.0)
    return Fitted(
        pipeline=pipeline,
        schema=with_importance(schema, pipeline, X[rows], plan.codes[rows]),
        params=dict(request.params),
        X=X,
        codes=plan.codes,
        train=plan.train,
        test=plan.test,
        checked=checked,
        predicted=predicted,
        probabilities=probabilities,
        answered=answered,
        held_out=held_out,
        metrics=metrics,
        report=report,
        confusion=confusion,
        reference=reference.record(
            schema, plan.table, X, rows, plan.test, confusion.sum(axis=0), held_out
        ),
        notes=log.notes,
        seconds=log.seconds,
    )


def _checked(plan: Plan) -> NDArray[np.int64]:
    """Choose the rows to predict, in order: the test rows, and training rows evenly spread."""
    if plan.kind.name not in _SLOW or len(plan.train) <= _SAMPLE:
        return np.arange(plan.table.rows)
    places = np.linspace(0, len(plan.train) - 1, _SAMPLE).astype(np.int64)
    return np.sort(np.concatenate((plan.test, plan.train[places])))


def _pipeline(plan: Plan) -> Pipeline:
    return Pipeline([("prepare", preparation(plan)), ("classify", classifier(plan))])


def _predict(
    pipeline: Pipeline, frame: pd.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Return each row's class index, and the probabilities, preparing the rows once."""
    return predict(pipeline["classify"], pipeline[:-1].transform(frame))


def _cross_validated(plan: Plan, folds: Folds, report: Callable[[float], None]) -> list[float]:
    """Return the accuracy of the plan's parameters on each fold."""
    scores: list[float] = []
    for fold in range(len(folds)):
        scores.append(folds.score(fold, plan.kind.name, plan.request.params, "accuracy"))
        report(len(scores) / len(folds))
    return scores
