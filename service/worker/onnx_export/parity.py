"""The comparison of a graph with its pipeline, and made-up rows to repeat it on other machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from service.models.classifier import TOLERANCE, Floats, Labels
from service.models.onnx_classifier import OnnxClassifier
from service.schema.contract import Feature
from service.worker.sklearn_models.estimator_walk import is_forest, predict

CHUNK = 10_000
"""Rows compared at a time: enough for the matrix products, little in memory."""

BOUNDARY = 1e-12
"""A margin below this share of the largest score has no reliable sign: scikit-learn's own changes
with the number of rows that it predicts together."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The result of a comparison."""

    rows: int
    differing: int
    """Rows with another label than scikit-learn's, those on a boundary not counted."""
    on_boundary: int
    """Rows with another label whose margin is within rounding."""
    largest_difference: float
    """Between any two probabilities; infinite where only one of them is NaN."""
    exact: bool
    """Whether the probabilities must be equal bit for bit, as those of forests."""

    @property
    def agrees(self) -> bool:
        """Whether the graph may serve in the pipeline's place."""
        allowed = 0.0 if self.exact else TOLERANCE
        return self.differing == 0 and self.largest_difference <= allowed


def check(
    model: bytes,
    pipeline: Pipeline,
    frame: Any,
    X: Floats,
    answers: tuple[Labels, Floats | None] | None = None,
) -> Parity:
    """Compare a graph with the pipeline it was made of.

    `frame` holds the rows as the pipeline reads them, `X` [N, features] the same rows as the graph
    does. The preprocessing runs once for labels and probabilities, and `predict` not at all where
    it is known to be the argmax of `predict_proba`. `answers` are the pipeline's labels and
    probabilities for all rows, where they are known already.
    """
    graph = OnnxClassifier(model)
    classifier = pipeline["classify"]
    exact = is_forest(classifier)
    differing = on_boundary = 0
    largest = 0.0
    for start in range(0, len(X), CHUNK):
        rows = slice(start, start + CHUNK)
        if answers is None:
            expected, chances = predict(classifier, _prepared(pipeline, frame, rows))
        else:
            expected = answers[0][rows]
            chances = None if answers[1] is None else answers[1][rows]
        if chances is None:
            found = graph.labels(X[rows])
        else:
            found, answered = graph.labels_and_probabilities(X[rows])
            largest = max(largest, _difference(chances, answered))
        wrong = found != expected
        if wrong.any():
            prepared = _prepared(pipeline, frame, rows)
            near = wrong & _near_boundary(classifier, prepared, exact)
            on_boundary += int(near.sum())
            differing += int(wrong.sum()) - int(near.sum())
    return Parity(len(X), differing, on_boundary, largest, exact)


def _prepared(pipeline: Pipeline, frame: Any, rows: slice) -> Any:
    return pipeline[:-1].transform(frame.iloc[rows])


def _difference(expected: Floats, answered: Floats) -> float:
    if np.array_equal(expected, answered):
        return 0.0
    away = np.abs(expected - answered)
    one_only = np.isnan(expected) != np.isnan(answered)
    away = np.where(one_only, np.inf, np.where(np.isnan(expected), 0.0, away))
    return float(away.max())


def _near_boundary(classifier: Any, prepared: Any, exact: bool) -> NDArray[np.bool_]:
    """Return which rows are so close to a boundary that rounding decides; in a forest none is."""
    if exact:
        return np.zeros(len(prepared), np.bool_)
    if hasattr(classifier, "decision_function"):
        scores = np.asarray(classifier.decision_function(prepared))
    else:
        scores = np.asarray(classifier.predict_proba(prepared))
    if scores.ndim == 1:
        margin = np.abs(scores)
    else:
        ranked = np.sort(scores, axis=1)
        margin = ranked[:, -1] - ranked[:, -2]
    near: NDArray[np.bool_] = margin < BOUNDARY * np.abs(scores).max()
    return near


def made_up_rows(X: Floats, features: Sequence[Feature], count: int = 256, seed: int = 0) -> Floats:
    """Make up rows column by column, none of them a training row: [count, features].

    Each column is drawn alone, from the values that it has in `X`: codes and missing values as
    often as there, and a number strictly between one value and the next, where there are two.
    Every number is within its feature's `low` and `high`.
    """
    generator = np.random.default_rng(seed)
    made = np.empty((count, len(features)))
    for place, feature in enumerate(features):
        column = X[:, place]
        drawn = column[generator.integers(0, len(column), count)]
        if feature.type == "number":
            drawn = _between(drawn, np.unique(column[~np.isnan(column)]), generator)
            drawn = np.clip(drawn, feature.low, feature.high)
        made[:, place] = drawn
    return made


def _between(drawn: Floats, values: Floats, generator: np.random.Generator) -> Floats:
    """Move each number towards its next neighbour in `values`, sorted; NaN stays."""
    if len(values) < 2:
        return drawn
    # NaN sorts behind everything, so its place is brought back into the table and then ignored.
    place = np.minimum(np.searchsorted(values, drawn), len(values) - 2)
    share = generator.uniform(0.25, 0.75, len(drawn))
    moved = values[place] * (1.0 - share) + values[place + 1] * share
    return np.where(np.isnan(drawn), np.nan, moved)
