"""Rows whose truth is known, answered by both of two versions that are compared."""

import numpy as np

from service.common.errors import ClassifierUnavailable, InvalidInput
from service.models.classifier import Floats
from service.serving.predictor import Predictor
from service.serving.quality import Ints
from service.traffic.comparison import Comparison
from service.traffic.translation import Translation, class_indexes

_ROWS = 4096
"""Rows that the other version is asked at a time."""


class PairedOutcomes:
    """Has the other version answer what one of the two was asked, and counts which is right."""

    def __init__(self, comparison: Comparison, of_second: bool) -> None:
        """`of_second`: the rows are answered by the second version first."""
        self.epoch = comparison.epoch
        self.rows = 0
        self.only_in_use_right = 0
        self.only_second_right = 0
        self._of_second = of_second
        first, other = comparison.in_use, comparison.second
        if of_second:
            first, other = other, first
        self._other = other
        self._translation = Translation(first.schema, other.schema)
        self._classes = class_indexes(other.schema, first.schema)

    def add(self, matrix: Floats, truth: Ints, found: Ints) -> None:
        """Count rows [N, F] with the indexes of their true classes and of the answers, [N].

        A row that the other version refuses counts as wrong for it. Where that one cannot answer at
        all, nothing is counted.
        """
        try:
            for start in range(0, len(matrix), _ROWS):
                part = slice(start, start + _ROWS)
                self._add(np.array(matrix[part]), truth[part], found[part])
        except ClassifierUnavailable:
            self.rows = self.only_in_use_right = self.only_second_right = 0

    def _add(self, matrix: Floats, truth: Ints, found: Ints) -> None:
        translated = self._translation.translate(matrix)
        others = np.full(len(matrix), -1)
        asked = np.flatnonzero(~translated.refused & ~translated.lost)
        others[asked] = self._ask(translated.matrix[asked])
        known = ~translated.lost
        first_right, other_right = (found == truth)[known], (others == truth)[known]
        only_first = int(np.count_nonzero(first_right & ~other_right))
        only_other = int(np.count_nonzero(other_right & ~first_right))
        if self._of_second:
            only_first, only_other = only_other, only_first
        self.rows += int(known.sum())
        self.only_in_use_right += only_first
        self.only_second_right += only_other

    def _ask(self, matrix: Floats) -> Ints:
        """Return the classes [N] by the first version's indexes; -1 for a row that is refused."""
        if not len(matrix):
            return np.zeros(0, np.int64)
        try:
            labels, _ = self._other.classification.alone().classify(matrix, False)
        except InvalidInput:
            if len(matrix) == 1:
                return np.array([-1])
            middle = len(matrix) // 2
            return np.concatenate([self._ask(matrix[:middle]), self._ask(matrix[middle:])])
        return np.asarray(self._classes[labels], np.int64)


def paired_outcomes(comparison: Comparison | None, predictor: Predictor) -> PairedOutcomes | None:
    """Return what counts the rows that one of two versions answers; None for any other version."""
    if comparison is None:
        return None
    asked = (predictor.name, predictor.version)
    for version in (comparison.in_use, comparison.second):
        if asked == (version.name, version.version):
            return PairedOutcomes(comparison, of_second=version is comparison.second)
    return None
