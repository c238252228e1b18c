"""Rows that arrive as columns, or as one matrix, to the classifier's matrix.

The rules are those of `decoder`: what arrays cannot vouch for becomes instances, which
`explanation` decodes, and says what is wrong with them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Feature, FeatureType, Schema
from service.schema.explanation import StrictDecoder

Matrix = NDArray[np.float64]

Column = NDArray[Any] | Sequence[Any]
"""The values of a feature: an array of numbers or booleans in which NaN is missing, or a list of
values as JSON has them, in which None is."""

_KINDS: Mapping[FeatureType, str] = {"number": "fiu", "boolean": "b", "text": ""}
"""The kinds of arrays that hold a feature."""
_TYPES: Mapping[FeatureType, set[type]] = {
    "number": {float, int},
    "boolean": {bool},
    "text": {str},
}


def codes_of(feature: Feature) -> dict[str | None, float]:
    """Return the cell of the matrix for each category of a text, and for a missing one."""
    codes: dict[str | None, float] = {text: code for code, text in enumerate(feature.categories)}
    if feature.nullable:
        codes[None] = math.nan
    return codes


class ColumnDecoder:
    """Decodes rows for one schema."""

    def __init__(self, schema: Schema, explanation: StrictDecoder) -> None:
        self._features = schema.features
        self._explanation = explanation
        self._low = np.array([feature.low for feature in schema.features])
        self._high = np.array([feature.high for feature in schema.features])
        self._nullable = np.array([feature.nullable for feature in schema.features])
        self._only_numbers = all(feature.type == "number" for feature in schema.features)
        self._codes = {
            feature.name: codes_of(feature) for feature in schema.features if feature.type == "text"
        }
        self._refuse_unknown = schema.unknown_categories == "refuse"

    def of_instances(self, instances: list[Any]) -> Matrix:
        """Return the matrix of objects or arrays as `/predict` takes them; raises InvalidInput."""
        return self._explanation.of_instances(instances)

    def try_matrix(self, values: NDArray[Any]) -> Matrix | None:
        """Return the matrix of an array [N, F]; None where `of_matrix` has to look at it."""
        if not self._takes(values):
            return None
        matrix = values.astype(np.float64, copy=False)
        return matrix if self._is_within(matrix) else None

    def of_matrix(self, values: NDArray[Any]) -> Matrix:
        """Return the matrix of an array [N, F] of any type; raises InvalidInput."""
        matrix = self.try_matrix(values)
        if matrix is not None:
            return matrix
        if not self._takes(values):
            return self.of_instances(_with_none(values))
        names = [feature.name for feature in self._features]
        return self.of_columns(dict(zip(names, values.T, strict=True)), len(values))

    def _takes(self, values: NDArray[Any]) -> bool:
        is_wide = values.shape[1] == len(self._features)
        return is_wide and self._only_numbers and values.dtype.kind in _KINDS["number"]

    def try_columns(self, columns: Mapping[str, Column], rows: int) -> Matrix | None:
        """Return the matrix of columns by name; None where `of_columns` has to look at them."""
        if len(columns) != len(self._features):
            return None
        matrix = np.empty((rows, len(self._features)))
        for index, feature in enumerate(self._features):
            cells = self._cells(feature, columns.get(feature.name))
            if cells is None:
                return None
            matrix[:, index] = cells
        return matrix if self._is_within(matrix) else None

    def of_columns(self, columns: Mapping[str, Column], rows: int) -> Matrix:
        """Return the matrix of columns by name, each of this many rows; raises InvalidInput."""
        matrix = self.try_columns(columns, rows)
        if matrix is not None:
            return matrix
        values = [_with_none(column) for column in columns.values()]
        cells = zip(*values, strict=True) if columns else [()] * rows
        return self.of_instances([dict(zip(columns, row, strict=True)) for row in cells])

    def _cells(self, feature: Feature, column: Column | None) -> Any:
        """Return a column of the matrix, or None where this is not sure of it."""
        if column is None:
            return None
        if isinstance(column, np.ndarray):
            return column if column.dtype.kind in _KINDS[feature.type] else None
        types = set(map(type, column))
        if feature.nullable:
            types.discard(type(None))
        if not types <= _TYPES[feature.type]:
            return None
        if feature.type != "text":
            return np.array(column, np.float64)  # None becomes NaN
        codes = self._codes[feature.name]
        coded = [codes.get(text, -1) for text in column]
        return None if self._refuse_unknown and -1 in coded else coded

    def _is_within(self, matrix: Matrix) -> bool:
        """Return whether all numbers can be taken; a missing value only where it may be missing."""
        inside = (matrix >= self._low) & (matrix <= self._high)
        return bool((inside | (np.isnan(matrix) & self._nullable)).all())


def _with_none(values: Column) -> list[Any]:
    """Return values as JSON has them: None where a number is missing."""
    if not isinstance(values, np.ndarray):
        return list(values)
    if values.dtype.kind != "f" or not np.isnan(values).any():
        listed: list[Any] = values.tolist()
        return listed
    with_none = values.astype(object)
    with_none[np.isnan(values)] = None
    listed = with_none.tolist()
    return listed
