"""Turns rows into labels and probabilities, and never returns a NaN as a prediction."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from service.common.errors import InvalidInput, Problem, clip
from service.models.classifier import Classifier, Floats, Labels, ReadsFiles
from service.schema.decoder import HUGE
from service.schema.missing_texts import MissingTexts
from service.serving.alternate import MANY, Alternate
from service.serving.core_pool import CorePool

_Answer = tuple[Labels, Floats | None]
_Answers = Sequence[_Answer]

_LARGEST_PART = 4096
"""The most rows that a classifier gets at a time, so that its intermediate arrays stay small."""
_LARGEST_SHARE = 65_536
"""The same for scikit-learn in a worker process beside the graph."""
_WORTH_PARTS = 512
"""With this many rows or more, sharing them with other threads saves time."""


class Classification:
    """Asks one version's classifier; may be called from any thread."""

    def __init__(
        self,
        title: str,
        classifier: Classifier,
        cores: CorePool | None,
        alternate: Alternate | None = None,
        missing_texts: MissingTexts | None = None,
    ) -> None:
        """`title` names the model in errors; without `cores` the calling thread does all the work.

        With `alternate`, a request of many rows is answered by whichever is faster.
        `missing_texts` fills in the missing texts that the schema allows, if it allows any.
        """
        self._title = title
        self._classifier = classifier
        self._cores = cores
        self._alternate = alternate
        self._missing_texts = missing_texts or None

    def titled(self, title: str) -> "Classification":
        """Return a copy with another name for the model in errors."""
        return Classification(
            title, self._classifier, self._cores, self._alternate, self._missing_texts
        )

    def alone(self) -> "Classification":
        """Return a copy that works on the calling thread alone, without `alternate`."""
        return Classification(
            self._title, self._classifier, None, missing_texts=self._missing_texts
        )

    def classify(
        self,
        matrix: Floats,
        probabilities: bool,
        file: Path | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> tuple[Labels, Floats | None]:
        """Return the index of the class of each row, [N], and the probabilities, [N, K], if asked.

        If the matrix is mapped from a file (.npy), `file` is its path. `check` is called before
        each part of the rows; if it raises, the work ends. Raises InvalidInput for numbers that the
        classifier cannot take.
        """
        if probabilities:
            self.check_has_probabilities()

        def ask(classifier: Classifier) -> _Answers:
            return self._ask(classifier, matrix, probabilities, file, check)

        try:
            alternate = self._choice(len(matrix))
            if alternate is None:
                answers = ask(self._classifier)
            else:
                answers = alternate.answer(self._classifier, len(matrix), ask)
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
        """Return whether other threads than the calling one may work on this many rows."""
        return self._choice(rows) is not None or (
            self._cores is not None and rows > self._size(self._classifier, rows)
        )

    def check_has_probabilities(self) -> None:
        """Raise InvalidInput if the classifier has no probabilities."""
        if not self._classifier.has_probabilities:
            raise InvalidInput(
                f"{self._title} has no probabilities; "
                'leave "probabilities" out, or train a classifier that has them.',
                [],
            )

    def _choice(self, rows: int) -> Alternate | None:
        return self._alternate if rows >= MANY else None

    def _ask(
        self,
        classifier: Classifier,
        matrix: Floats,
        probabilities: bool,
        file: Path | None,
        check: Callable[[], None],
    ) -> _Answers:
        """Have the classifier answer all rows, part by part."""

        def ask(rows: slice) -> _Answer:
            check()
            part = matrix[rows]
            sure = probabilities or _is_doubtful(classifier, part)
            texts = self._missing_texts
            if texts is not None:
                part = texts.filled(part)
            elif file is not None and isinstance(classifier, ReadsFiles):
                return classifier.of_file(file, rows, sure)
            part = np.ascontiguousarray(part)
            if sure:
                return classifier.labels_and_probabilities(part)
            return classifier.labels(part), None

        count = len(matrix)
        size = self._size(classifier, count)
        parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
        if self._cores is None or len(parts) == 1:
            return [ask(rows) for rows in parts]
        return self._cores.map(ask, parts)

    def _size(self, classifier: Classifier, count: int) -> int:
        """Return into parts of how many rows `count` rows are split."""
        if self._cores is None or count < _WORTH_PARTS:
            return _LARGEST_PART
        share = -(-count // self._cores.count)
        if classifier is not self._classifier:
            # Each part goes through all trees anew, which costs as much as 4,000 rows.
            return min(_LARGEST_SHARE, share)
        if classifier.in_other_process:
            # It has cores of its own, and a message to it costs more than a thread.
            return _LARGEST_PART
        # Each core gets the same number of parts, so that all end at about the same time.
        return -(-share // -(-share // _LARGEST_PART))


def _is_doubtful(classifier: Classifier, part: Floats) -> bool:
    """Return whether probabilities must be computed to know that the labels are valid."""
    if classifier.may_label_nan:
        return True
    return classifier.has_probabilities and _has_huge(part)


def _has_huge(part: Floats) -> bool:
    if not part.flags.c_contiguous:
        # Column by column, as it lies in memory.
        return any(bool((np.abs(column) > HUGE).any()) for column in part.T)
    return bool((np.abs(part) > HUGE).any())


def _check_finite(answers: Sequence[_Answer]) -> None:
    """Raise InvalidInput if a probability is not finite, since the numbers were too large."""
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
