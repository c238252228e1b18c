"""What a training leaves for its comparison with the version in use, and versions in use."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.processes import job_files as files
from service.schema.contract import Feature, Schema, encode
from service.schema.decoder import Limits
from service.serving.current_model import CurrentModel, LoadedVersion
from service.serving.predictor import Predictor
from tests.support.classifiers import FakeClassifier

SCHEMA = Schema((Feature("x", "number"),), ("a", "b"))


class Above(FakeClassifier):
    """Answers the second class above a bound, as surely as it is told."""

    def __init__(self, bound: float, sure: float = 0.9) -> None:
        super().__init__()
        self.bound, self.sure = bound, sure

    def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        return (X[:, 0] > self.bound).astype(np.int64)

    def labels_and_probabilities(
        self, X: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        labels = self.labels(X)
        chance = np.where(labels == 1, self.sure, 1 - self.sure)
        return labels, np.column_stack([1 - chance, chance])


def in_use(classifier: FakeClassifier, epoch: int = 1, schema: Schema = SCHEMA) -> CurrentModel:
    """Return a current model that answers by this classifier."""
    predictor = Predictor("m", 3, schema, classifier, Limits())
    current_model = CurrentModel()
    assert current_model.swap(LoadedVersion(predictor, epoch, ""))
    return current_model


def write_held_out(
    folder: Path,
    x: Sequence[float],
    truth: Sequence[int],
    new: FakeClassifier,
    refused: Sequence[int] = (),
    classes: tuple[str | int | bool, ...] = ("a", "b"),
) -> None:
    """Write the held-out rows, the new version's answers, and what a worker makes of the rows."""
    (folder / files.VERSION).mkdir(parents=True, exist_ok=True)
    schema = replace(SCHEMA, classes=classes)
    (folder / files.VERSION / "schema.json").write_bytes(encode(schema))
    matrix = np.array(x, np.float64).reshape(-1, 1)
    files.save(folder / files.TRUTH, np.array(truth, np.int64))
    labels, probabilities = new.labels_and_probabilities(matrix)
    files.write_answers(folder, labels, probabilities if new.has_probabilities else None)
    files.save(folder / files.MATRIX, matrix)
    files.save(folder / files.REFUSED, np.isin(np.arange(len(x)), refused))
