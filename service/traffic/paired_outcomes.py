"""Rows whose truth is known, answered by both of two versions that are compared."""

from collections.abc import Callable
from time import monotonic

import numpy as np

from service.models.classifier import Floats
from service.serving.predictor import Predictor
from service.serving.quality import Ints
from service.traffic.comparison import Comparison
from service.traffic.counterpart import FAILED, Counterpart

_ROWS = 4096
"""Rows that the other version is asked at a time."""
MOST_SECONDS = 10.0
"""After this time the other version is asked no more rows of a request. It may be slow, or busy
with clients, and the client that has sent the outcomes is waiting."""


class PairedOutcomes:
    """Has the other version answer what one of the two was asked, and counts which is right."""

    def __init__(
        self,
        comparison: Comparison,
        of_second: bool,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`of_second`: the rows are answered by the second version first."""
        self.epoch = comparison.epoch
        self.rows = 0
        self.only_in_use_right = 0
        self.only_second_right = 0
        self._of_second = of_second
        self._clock = clock
        first, other = comparison.in_use, comparison.second
        if of_second:
            first, other = other, first
        self._counterpart = Counterpart(first, other)

    def add(self, matrix: Floats, truth: Ints, found: Ints) -> None:
        """Count rows [N, F] with the indexes of their true classes and of the answers, [N].

        A row that the other version refuses counts as wrong for it. One that it was not asked, or
        could not answer for lack of its process, does not count, nor does what is left when the
        time is over.
        """
        end = self._clock() + MOST_SECONDS
        for start in range(0, len(matrix), _ROWS):
            if self._clock() >= end:
                return
            part = slice(start, start + _ROWS)
            self._add(np.array(matrix[part]), truth[part], found[part])

    def _add(self, matrix: Floats, truth: Ints, found: Ints) -> None:
        others = self._counterpart.answer(matrix)
        known = (others >= 0) | (others == FAILED)
        first_right, other_right = (found == truth)[known], (others == truth)[known]
        only_first = int(np.count_nonzero(first_right & ~other_right))
        only_other = int(np.count_nonzero(other_right & ~first_right))
        if self._of_second:
            only_first, only_other = only_other, only_first
        self.rows += int(known.sum())
        self.only_in_use_right += only_first
        self.only_second_right += only_other


def paired_outcomes(comparison: Comparison | None, predictor: Predictor) -> PairedOutcomes | None:
    """Return what counts the rows that one of two versions answers; None for any other version."""
    if comparison is None:
        return None
    asked = (predictor.name, predictor.version)
    for version in (comparison.in_use, comparison.second):
        if asked == (version.name, version.version):
            return PairedOutcomes(comparison, of_second=version is comparison.second)
    return None
