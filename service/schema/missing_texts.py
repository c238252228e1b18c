"""Missing texts in a matrix, and the codes that a classifier takes for them.

Decoders leave NaN where a text is missing, so that it can be told from a text of the category that
the imputer of the fitted pipeline puts in its place. The classifier gets that category's code.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Feature

Matrix = NDArray[np.float64]


class MissingTexts:
    """The texts of one schema that may be missing."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._codes = [
            (index, float(feature.missing_code))
            for index, feature in enumerate(features)
            if feature.type == "text" and feature.nullable
        ]

    def __bool__(self) -> bool:
        """Return whether there are any such texts."""
        return bool(self._codes)

    def fill(self, matrix: Matrix) -> None:
        """Put the code of a missing text wherever one is, in place: [N, F]."""
        for index, code in self._codes:
            cells = matrix[:, index]
            cells[np.isnan(cells)] = code

    def filled(self, matrix: Matrix) -> Matrix:
        """Return the matrix with those codes; itself where no text is missing."""
        if not any(np.isnan(matrix[:, index]).any() for index, _ in self._codes):
            return matrix
        copy = np.array(matrix)
        self.fill(copy)
        return copy
