"""The interface of classifiers that answer, and the replay that checks one."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

TOLERANCE = 1e-6
"""The largest difference of a probability from the recorded one."""


class Classifier(Protocol):
    """Answers matrices, as `service.schema` describes them, with indexes of classes.

    Both raise ValueError, with a sentence, for numbers that it cannot take.
    """

    @property
    def has_probabilities(self) -> bool:
        """Whether `labels_and_probabilities` may be called."""

    @property
    def may_label_nan(self) -> bool:
        """Whether a label may be given where the probabilities would be NaN."""

    @property
    def in_other_process(self) -> bool:
        """Whether another process answers: a call then blocks, so never on the event loop."""

    @property
    def ready(self) -> bool:
        """Whether it can answer now."""

    def clock(self) -> float:
        """Return the processor seconds spent by this thread and by the process that answers."""

    def labels(self, X: Floats) -> Labels:
        """Return the index of the class of each row: [N]."""

    def labels_and_probabilities(self, X: Floats) -> tuple[Labels, Floats]:
        """Return the indexes [N] and the probabilities [N, K]."""


@runtime_checkable
class ReadsFiles(Protocol):
    """A classifier in another process, which reads a matrix from its file."""

    def of_file(self, path: Path, rows: slice, probabilities: bool) -> tuple[Labels, Floats | None]:
        """Answer rows of the matrix in a file (.npy), like `Classifier`'s methods."""


def answer(classifier: Classifier, X: Floats, probabilities: bool) -> tuple[Labels, Floats | None]:
    """Return the index of the class of each row, and the probabilities if they are asked for."""
    if probabilities:
        return classifier.labels_and_probabilities(X)
    return classifier.labels(X), None


def replay(classifier: Classifier, X: Floats, labels: Labels, probabilities: Floats | None) -> None:
    """Check that `classifier` answers for the golden rows `X` what was recorded in training.

    Raises ValueError with a sentence where a label differs, or a probability by more than 1e-6.
    """
    if probabilities is not None and not classifier.has_probabilities:
        raise ValueError("Probabilities were recorded, and this classifier gives none.")
    found, chances = answer(classifier, X, probabilities is not None)
    if probabilities is not None and chances is not None and chances.shape != probabilities.shape:
        raise ValueError("The probabilities are for another number of classes.")
    differing = int(np.count_nonzero(found != labels))
    if differing:
        raise ValueError(
            f"{differing} of {len(labels)} golden rows get another label here than in training."
        )
    if probabilities is not None and chances is not None:
        away = np.abs(chances - probabilities)
        # Written so that NaN does not pass.
        if not (away <= TOLERANCE).all():
            raise ValueError(
                f"The golden rows' probabilities differ by up to {away.max():.3g} from training's."
            )
