"""The other of two versions: it answers again what the first one answered."""

import numpy as np

from service.common.errors import ClassifierUnavailable, InvalidInput, Overloaded
from service.models.classifier import Floats, Labels
from service.processes.connection import Defect
from service.serving.classification import Classification
from service.serving.predictor import Predictor
from service.traffic.translation import Translation, class_indexes

FAILED = -1
"""Stands for the class of a row that the other version cannot answer."""
NOT_ASKED = -2
"""Stands for the class of a row that the other version was not asked."""
UNAVAILABLE = -3
"""Stands for the class of a row that it could not answer because its process was not there."""

MOST_ROWS = 256
_RUN_SECONDS = 0.01
"""A run is to take about this long: others wait for the same core, or the same worker."""

LOOKED_AT = 16
"""Rows among which one is sought that both versions answer."""

_UNABLE = (ClassifierUnavailable, Defect)


class Counterpart:
    """Answers on the calling thread, and counts for no statistics of the version."""

    def __init__(self, first: Predictor, other: Predictor) -> None:
        """Both are of the same contract."""
        self._first, self._other = first, other
        self._translation = Translation(first.schema, other.schema)
        self._classes = class_indexes(other.schema, first.schema)
        self._ask_first = first.classification.alone()
        self._ask_other = other.classification.alone()

    def clock(self) -> float:
        """Return the processor seconds that the calling thread and the other version spent."""
        return self._other.classifier.clock()

    def rows_of_run(self) -> int:
        """Return how many rows to ask at once."""
        latency = self._other.latency_model
        # Where a run is long whatever its rows are, as many more that they take as long again.
        seconds = max(_RUN_SECONDS - latency.base, latency.base)
        return max(1, min(MOST_ROWS, int(seconds / max(latency.row, 1e-9))))

    def answer(self, X: Floats) -> Labels:
        """Return the class of each row, [N], by its index in the first version.

        `X` is the matrix by the first version's decoder, [N, F].
        """
        translated = self._translation.translate(X)
        labels = np.full(len(X), FAILED, np.int64)
        labels[translated.lost] = NOT_ASKED
        asked = np.flatnonzero(~(translated.refused | translated.lost))
        if len(asked):
            labels[asked] = self._labels(translated.matrix[asked])
        return labels

    def _labels(self, matrix: Floats) -> Labels:
        try:
            return self._classes[_labels(self._ask_other, matrix)]
        except _UNABLE:
            return np.full(len(matrix), UNAVAILABLE, np.int64)
        except Overloaded:
            # Clients were there before; that says nothing about the version.
            return np.full(len(matrix), NOT_ASKED, np.int64)
        except InvalidInput:
            if len(matrix) == 1:
                return np.array([FAILED], np.int64)
        middle = len(matrix) // 2  # until the rows that it refuses are found
        return np.concatenate([self._labels(matrix[:middle]), self._labels(matrix[middle:])])

    def time(self, X: Floats, begins: bool) -> tuple[float, float] | None:
        """Return the seconds that the first and the other version take for a row, once each.

        It is one of the first rows of `X` that both can answer; None where there is none. `begins`:
        the first version does.
        """
        translated = self._translation.translate(X[:LOOKED_AT])
        good = np.flatnonzero(~(translated.refused | translated.lost))
        if not len(good):
            return None
        row = slice(good[0], good[0] + 1)
        # Alike in memory, or one of them would seem to be slower.
        own, others = (np.ascontiguousarray(matrix[row]) for matrix in (X, translated.matrix))
        try:
            if begins:
                return self._seconds_of_first(own), self._seconds_of_other(others)
            other = self._seconds_of_other(others)
            return self._seconds_of_first(own), other
        except (*_UNABLE, Overloaded, InvalidInput):
            return None

    def _seconds_of_first(self, row: Floats) -> float:
        return _seconds(self._first, self._ask_first, row)

    def _seconds_of_other(self, row: Floats) -> float:
        return _seconds(self._other, self._ask_other, row)


def _labels(classification: Classification, matrix: Floats) -> Labels:
    labels, _ = classification.classify(matrix, probabilities=False)
    return labels


def _seconds(predictor: Predictor, classification: Classification, row: Floats) -> float:
    start = predictor.classifier.clock()
    _labels(classification, row)
    return predictor.classifier.clock() - start
