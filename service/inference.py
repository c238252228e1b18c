"""Rows to labels and probabilities: what a classifier is asked, and what is never passed on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.cores import Cores
from service.errors import Problem, clip
from service.runtime import Classifier
from service.schema.decoder import HUGE
from service.schema.explanation import InvalidInput

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
_Answer = tuple[Labels, Floats | None]

_LARGEST_PART = 4096
"""Rows that a classifier is given at once: what it makes of them on the way stays small."""
_WORTH_PARTS = 512
"""So many rows are worth the waking of another thread."""


class Inference:
    """Asks one version's classifier; may be called from any thread."""

    def __init__(self, title: str, classifier: Classifier, cores: Cores | None) -> None:
        """`title` is what errors call the model; without `cores` the calling thread does it all."""
        self._title = title
        self._classifier = classifier
        self._cores = cores

    def of(self, matrix: Floats, probabilities: bool) -> tuple[Labels, Floats | None]:
        """Give the index of the class of each row, [N], and the probabilities, [N, K], if asked.

        Raises InvalidInput for numbers that the classifier cannot take.
        """
        if probabilities:
            self.check_has_probabilities()

        def ask(rows: slice) -> _Answer:
            part = np.ascontiguousarray(matrix[rows])
            if probabilities or self._is_doubtful(part):
                return self._classifier.labels_and_probabilities(part)
            return self._classifier.labels(part), None

        parts = self._parts(len(matrix))
        try:
            if self._cores is None or len(parts) == 1:
                answers = [ask(rows) for rows in parts]
            else:
                answers = self._cores.map(ask, parts)
        except ValueError as error:
            reason = clip(str(error).split("\n")[0].rstrip("."), 200)
            raise InvalidInput(f"The classifier cannot answer this: {reason}.", []) from error
        _check_finite(answers)
        if len(answers) == 1:
            return answers[0][0], answers[0][1] if probabilities else None
        labels = np.concatenate([labels for labels, _ in answers])
        if not probabilities:
            return labels, None
        return labels, np.concatenate([rows for _, rows in answers if rows is not None])

    def is_shared(self, rows: int) -> bool:
        """Tell whether so many rows are divided among threads."""
        return self._cores is not None and rows > self._size(rows)

    def check_has_probabilities(self) -> None:
        """Raise InvalidInput where the classifier has none."""
        if not self._classifier.has_probabilities:
            raise InvalidInput(
                f"{self._title} has no probabilities; "
                'leave "probabilities" out, or train a classifier that has them.',
                [],
            )

    def _is_doubtful(self, part: Floats) -> bool:
        """Tell whether labels may be given only after their probabilities proved finite."""
        classifier = self._classifier
        if classifier.doubtful:
            return True
        return classifier.has_probabilities and bool((np.abs(part) > HUGE).any())

    def _parts(self, count: int) -> Sequence[slice]:
        size = self._size(count)
        return [slice(first, first + size) for first in range(0, count, size)]

    def _size(self, count: int) -> int:
        """Give how many of so many rows a part has."""
        # Another process has cores of its own, and a message to it costs more than a thread.
        if self._cores is None or count < _WORTH_PARTS or self._classifier.remote:
            return _LARGEST_PART
        return min(_LARGEST_PART, -(-count // self._cores.count))


def _check_finite(answers: Sequence[_Answer]) -> None:
    """A NaN never leaves as a prediction: the classifier could not take the numbers."""
    wrong: list[int] = []
    count = 0
    for labels, rows in answers:
        if rows is not None:
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            wrong += (count + bad).tolist()
        count += len(labels)
    if wrong:
        raise InvalidInput(
            f"The classifier gives no finite probabilities for {len(wrong)} of {count} "
            f"instances, the first of them /instances/{wrong[0]}: its numbers are too large.",
            [
                Problem(f"/instances/{index}", "has numbers too large for this classifier")
                for index in wrong[:20]
            ],
        )
