"""Pipelines of others with preprocessing like ours: texts are one-hot encoded after the numbers.

Their answers to made-up rows are compared with scikit-learn's, so that what this service cannot
repeat exactly is refused.
"""

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from service.models.classifier import TOLERANCE, Floats, answer
from service.schema.contract import Feature
from service.worker.sklearn_models.array_preprocessing import Preparation, steps_of
from service.worker.sklearn_models.classifier import NativeClassifier

_NUMBERS = (0.0, 1.0, -1.0, 0.5, 10.0, -10.0, 100.0)
_MOST_ROWS = 256
_UNKNOWN = "\0"
"""A text that is no category."""

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Text:
    """What is known of a text column."""

    categories: tuple[str, ...]
    missing_code: int


class PlainPipeline:
    """A fitted classifier that reads a matrix of numbers."""

    texts: Mapping[str, Text] = MappingProxyType({})
    refuses_unknown = True

    def __init__(self, fitted: Any, width: int) -> None:
        self.pipeline = Pipeline([("prepare", "passthrough"), ("classify", fitted)])
        preparation = Preparation(width)
        self.bounds = preparation.bounds(fitted)
        self.model = NativeClassifier(self.pipeline, preparation)

    def check(self, features: Sequence[Feature]) -> None:
        """Raise ValueError where it does not answer its example."""
        try:
            self._answer(features)
        except Exception as error:  # The estimators of others raise anything.
            raise ValueError(
                f"it does not answer its example: {type(error).__name__}: {error}"
            ) from error

    def takes_missing(self, features: Sequence[Feature], index: int) -> bool:
        """Return whether it answers its example without this feature."""
        try:
            chances = self._answer(features, index)
        except Exception:  # As above: whatever it raises, it does not take it.
            return False
        return chances is None or bool(np.isfinite(chances).all())

    def _answer(self, features: Sequence[Feature], missing: int | None = None) -> Floats | None:
        row = np.array([[float(feature.example) for feature in features]])
        if missing is not None:
            row[0, missing] = np.nan
        return answer(self.model, row, self.model.has_probabilities)[1]


class PreparedPipeline:
    """A fitted pipeline of a ColumnTransformer and a classifier, with the names of our steps."""

    def __init__(self, fitted: Pipeline, names: Sequence[str]) -> None:
        """Raises ValueError where the preprocessing cannot be repeated."""
        self._fitted = fitted
        prepare, classify = (copy.deepcopy(step) for _, step in fitted.steps)
        self.texts: dict[str, Text] = {}
        self.refuses_unknown = False
        for block, transformer, columns in prepare.transformers_:
            steps = steps_of(block, transformer)
            if steps and type(steps[-1]) is OneHotEncoder:
                self._read_texts(steps, list(columns))
        self.pipeline = Pipeline([("prepare", prepare), ("classify", classify)])
        preparation = Preparation.from_pipeline(self.pipeline, names)
        self.bounds = preparation.bounds(classify)
        self.model = NativeClassifier(self.pipeline, preparation)

    def _read_texts(self, steps: Sequence[Any], columns: Sequence[str]) -> None:
        encoder = steps[-1]
        fills = steps[0].statistics_ if len(steps) > 1 else [None] * len(columns)
        for column, categories, fill in zip(columns, encoder.categories_, fills, strict=True):
            known = tuple(categories.tolist())
            if not all(isinstance(category, str) for category in known):
                raise ValueError(f"column {column!r} has categories that are not text")
            self.texts[column] = Text(known, known.index(fill) if fill in known else -1)
        if encoder.handle_unknown == "error":
            # The decoder refuses them, so that none reaches the encoder.
            self.refuses_unknown = True
            encoder.handle_unknown = "ignore"

    def check(self, features: Sequence[Feature]) -> None:
        """Raise ValueError where the answers differ from scikit-learn's."""
        rows = _made_up(features)
        if not self.refuses_unknown:
            unknown = [_UNKNOWN if one.type == "text" else one.example for one in features]
            rows = [*rows, unknown]
        if not self._agrees(features, rows):
            raise ValueError("its preprocessing cannot be repeated exactly")

    def takes_missing(self, features: Sequence[Feature], index: int) -> bool:
        """Return whether it answers rows without this feature as scikit-learn does."""
        rows = [[*row[:index], None, *row[index + 1 :]] for row in _made_up(features)]
        for missing in (None, np.nan):  # Frames of text may have either.
            # scikit-learn may raise anything here.
            with suppress(Exception):
                if self._agrees(features, rows, missing):
                    return True
        return False

    def _agrees(
        self, features: Sequence[Feature], rows: Sequence[Row], missing: float | None = None
    ) -> bool:
        frame = _frame(features, rows, missing)
        labels, chances = answer(
            self.model, self._matrix(features, rows), self.model.has_probabilities
        )
        if not (self.model.classes[labels] == self._fitted.predict(frame)).all():
            return False
        if chances is None:
            return True
        return bool((np.abs(chances - self._fitted.predict_proba(frame)) <= TOLERANCE).all())

    def _matrix(self, features: Sequence[Feature], rows: Sequence[Row]) -> Floats:
        """Return the rows as the decoder would."""
        matrix: Floats = np.empty((len(rows), len(features)))
        for index, feature in enumerate(features):
            text = self.texts.get(feature.name)
            values = [row[index] for row in rows]
            if text is not None:
                matrix[:, index] = [_code(text, value) for value in values]
            else:
                matrix[:, index] = np.array(values, np.float64)  # None becomes NaN
        return matrix


def is_prepared(estimator: Any) -> bool:
    """Return whether an estimator is a ColumnTransformer and a classifier, and nothing else."""
    return (
        type(estimator) is Pipeline
        and len(estimator.steps) == 2
        and type(estimator.steps[0][1]) is ColumnTransformer
    )


def _code(text: Text, value: object) -> int:
    if value is None:
        return text.missing_code
    return text.categories.index(str(value)) if value in text.categories else -1


def _made_up(features: Sequence[Feature]) -> list[Row]:
    """Return rows in which every category comes up, of the first of them."""
    count = max(2 * len(_NUMBERS), *(len(one.categories) for one in features))
    return [
        [_value(feature, number + index) for index, feature in enumerate(features)]
        for number in range(min(count, _MOST_ROWS))
    ]


def _value(feature: Feature, number: int) -> object:
    if feature.type == "text":
        return feature.categories[number % len(feature.categories)]
    if feature.type == "boolean":
        return number % 2 == 0
    values = (feature.example, *_NUMBERS)
    return values[number % len(values)]


def _frame(features: Sequence[Feature], rows: Sequence[Row], missing: float | None) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for index, feature in enumerate(features):
        values = [missing if row[index] is None else row[index] for row in rows]
        kind: type = float if feature.type == "number" else object
        if feature.type == "boolean" and missing not in values:
            kind = bool
        columns[feature.name] = np.array(values, dtype=kind)
    return pd.DataFrame({name: pd.Series(one, dtype=one.dtype) for name, one in columns.items()})
