"""How the matrix of a schema's features becomes the matrix that the final classifier sees.

Its rule: bit for bit what the fitted ColumnTransformer gives, without a DataFrame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)

from service.models.classifier import Floats
from service.schema.contract import LARGEST
from service.worker.sklearn_models.estimator_walk import reads_float32

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """What is done to the numbers, an entry a column; None where no column needs the step.

    Standard scaling is (x - mean) / scale, as StandardScaler computes it; scaling to a range is
    x * factor + offset, kept between floor and ceiling. A column without one has the neutral value.
    """

    standard: tuple[Floats, ...] | None = None
    to_range: tuple[Floats, ...] | None = None
    limits: tuple[Floats, ...] | None = None

    def apply(self, x: Floats) -> Floats:
        """Scale [N, columns]."""
        if self.standard is not None:
            x = (x - self.standard[0]) / self.standard[1]
        if self.to_range is not None:
            x = x * self.to_range[0] + self.to_range[1]
        return x if self.limits is None else np.clip(x, *self.limits)

    def unlimited(self) -> "Scaling":
        """Leave out the limits: what has to stay finite is what comes before them."""
        return Scaling(self.standard, self.to_range)


@dataclass(frozen=True, slots=True, eq=False)
class Preparation:
    """The fitted preprocessing of one pipeline, as arrays.

    The output is the numbers and booleans (`columns` of the input, missing ones filled, scaled),
    then a 0/1 column for each category of each text (1 where input column `text_columns[i]` is
    `text_codes[i]`). `columns` is None when the input goes to the classifier as it is.
    """

    width: int
    columns: Ints | None = None
    fill: Floats | None = None
    scaling: Scaling = Scaling()
    text_columns: Ints | None = None
    text_codes: Floats | None = None

    @classmethod
    def from_pipeline(cls, pipeline: Pipeline, names: Sequence[str]) -> Self:
        """Read a fitted pipeline with the steps "prepare" and "classify".

        `names` are the features in the schema's order. Raises ValueError for preprocessing that
        this class cannot repeat.
        """
        if [step for step, _ in pipeline.steps] != ["prepare", "classify"]:
            raise ValueError("a pipeline has the steps 'prepare' and 'classify'")
        prepare = pipeline["prepare"]
        if isinstance(prepare, str) and prepare == "passthrough":
            return cls(len(names))
        if type(prepare) is not ColumnTransformer:
            raise ValueError(f"{type(prepare).__name__} is not a known preprocessing")
        places = {name: place for place, name in enumerate(names)}
        columns: list[int] = []
        numbers: dict[str, list[float]] = {step: [] for step in _NEUTRAL}
        texts: list[tuple[int, int]] = []
        for block, transformer, of_block in prepare.transformers_:
            at = [_place(column, places) for column in of_block]
            steps = steps_of(block, transformer)
            if steps and type(steps[-1]) is OneHotEncoder:
                texts += zip(at, _categories(steps), strict=True)
            elif texts:
                raise ValueError(f"block {block!r} stands after the text")
            else:
                columns += at
                for step, values in _numbers(block, steps).items():
                    numbers[step] += np.broadcast_to(values, len(at)).tolist()
        fill = _changing(numbers, "fill")
        return cls(
            len(names),
            np.array(columns, np.int64),
            None if fill is None else fill[0],
            Scaling(
                _changing(numbers, "mean", "scale"),
                _changing(numbers, "factor", "offset"),
                _changing(numbers, "floor", "ceiling"),
            ),
            np.array([place for place, count in texts for _ in range(count)], np.int64),
            np.array([code for _, count in texts for code in range(count)], np.float64),
        )

    @property
    def sources(self) -> Ints:
        """The input column that each output column is made from."""
        if self.columns is None:
            return np.arange(self.width)
        texts = self.columns[:0] if self.text_columns is None else self.text_columns
        return np.concatenate((self.columns, texts))

    def apply(self, X: Floats) -> Floats:
        """Return what the fitted ColumnTransformer gives for [N, features]: [N, outputs].

        Overflow is left to the caller, who refuses what lies outside `bounds`.
        """
        if self.columns is None:
            return X
        numbers: Floats = X.take(self.columns, axis=1)
        if self.fill is not None:
            numbers = np.where(np.isnan(numbers), self.fill, numbers)
        numbers = self.scaling.apply(numbers)
        if self.text_columns is None or not self.text_columns.size:
            return numbers
        ones: NDArray[np.bool_] = X.take(self.text_columns, axis=1) == self.text_codes
        if not self.columns.size:
            return ones.astype(np.float64)
        prepared: Floats = np.concatenate((numbers, ones), axis=1)
        return prepared

    def bounds(self, classifier: Any) -> list[tuple[float, float]]:
        """Return the smallest and largest number, inclusive, that each feature may be.

        Within them a number is finite after scaling and, where a tree reads it, as a float32.
        """
        largest = LARGEST_FLOAT32 if reads_float32(classifier) else LARGEST
        if self.columns is None:
            return [(-largest, largest)] * self.width
        scaling, count = self.scaling.unlimited(), self.columns.size
        lowest = _furthest(scaling, -LARGEST, largest, count)
        highest = _furthest(scaling, LARGEST, largest, count)
        found = [(-LARGEST, LARGEST)] * self.width
        for place, low, high in zip(self.columns.tolist(), lowest, highest, strict=True):
            found[place] = (float(low), float(high))
        return found


_NEUTRAL: Mapping[str, float] = {
    "fill": np.nan,
    "mean": 0.0,
    "scale": 1.0,
    "factor": 1.0,
    "offset": -0.0,
    "floor": -np.inf,
    "ceiling": np.inf,
}
"""What changes nothing in a column of numbers or booleans, not even the sign of zero."""


def _place(column: str, places: Mapping[str, int]) -> int:
    """Find a column among the features."""
    if column not in places:
        raise ValueError(f"column {column!r} is not among the features")
    return places[column]


def steps_of(block: str, transformer: Any) -> list[Any]:
    """List what a block does, without what does nothing."""
    steps = [s for _, s in transformer.steps] if type(transformer) is Pipeline else [transformer]
    steps = [step.estimator if type(step) is FrozenEstimator else step for step in steps]
    if any(type(step) is FunctionTransformer and step.func is not None for step in steps):
        raise ValueError(f"block {block!r} calls a function")
    return [step for step in steps if type(step) is not FunctionTransformer]


def _categories(steps: list[Any]) -> list[int]:
    """Count the categories of each text column; its imputer is a code that the decoder knows."""
    encoder = steps[-1]
    if [type(step) for step in steps[:-1]] not in ([], [SimpleImputer]):
        raise ValueError("a text block has an imputer and an encoder, nothing else")
    if encoder.drop_idx_ is not None or encoder._infrequent_enabled:
        raise ValueError("an encoder that drops or groups categories is not known here")
    if encoder.handle_unknown != "ignore":
        raise ValueError("an encoder must ignore unknown categories")
    return [len(categories) for categories in encoder.categories_]


def _numbers(block: str, steps: list[Any]) -> dict[str, Any]:
    """Read the imputer and the scaler of a block, both optional, in that order."""
    kinds = [type(step) for step in steps]
    numbers: dict[str, Any] = dict(_NEUTRAL)
    if kinds and kinds[0] is SimpleImputer:
        imputer = steps[0]
        numbers["fill"] = imputer.statistics_
        if imputer.add_indicator or len(imputer.statistics_) != imputer.n_features_in_:
            raise ValueError("an imputer must give a column for a column")
        if not _is_missing(imputer.missing_values):
            raise ValueError("an imputer must replace what is missing")
        kinds, steps = kinds[1:], steps[1:]
    if kinds == [StandardScaler]:
        scaler = steps[0]
        numbers["scale"] = scaler.scale_
        if scaler.with_mean:
            numbers["mean"] = scaler.mean_
    elif kinds == [MinMaxScaler]:
        scaler = steps[0]
        numbers |= {"factor": scaler.scale_, "offset": scaler.min_}
        if scaler.clip:
            numbers["floor"], numbers["ceiling"] = scaler.feature_range
    elif kinds:
        raise ValueError(f"block {block!r} has steps that are not known here")
    return numbers


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _changing(numbers: Mapping[str, list[float]], *steps: str) -> tuple[Floats, ...] | None:
    """Return the numbers of these steps, an entry a column; None where they change nothing."""
    arrays = tuple(np.array(numbers[step], np.float64) for step in steps)
    if all(
        np.array_equal(array, np.full(len(array), _NEUTRAL[step]), equal_nan=True)
        for step, array in zip(steps, arrays, strict=True)
    ):
        return None
    return arrays


def _furthest(scaling: Scaling, end: float, largest: float, count: int) -> Floats:
    """Find, for each column, the number furthest towards `end` that is scaled within `largest`.

    Scaling never decreases, so halving the distance between a good and a bad number finds it;
    halving the *order* of the floats, not their values, takes 64 steps whatever the magnitude.
    """
    good = np.zeros(count, np.int64)
    bad = np.full(count, abs(end)).view(np.int64) + 1
    sign = 1.0 if end > 0 else -1.0
    with np.errstate(over="ignore", invalid="ignore"):
        while (bad - good > 1).any():
            middle = good + (bad - good) // 2
            scaled = scaling.apply((sign * middle.view(np.float64))[None])[0]
            fits = np.abs(scaled) <= largest
            good, bad = np.where(fits, middle, good), np.where(fits, bad, middle)
    return sign * good.view(np.float64)
