"""Classifiers whose computing time a test sets."""

import time

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Feature, Schema
from service.schema.decoder import Limits
from service.serving.predictor import Predictor


class FakeClassifier:
    """Answers the first class after using a given amount of processor time."""

    has_probabilities = True
    may_label_nan = False
    in_other_process = False
    ready = True
    clock = staticmethod(time.thread_time)

    def __init__(self) -> None:
        self.seconds = 0.0

    def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        return np.zeros(len(X), np.int64)

    def labels_and_probabilities(
        self, X: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return self.labels(X), np.tile([1.0, 0.0], (len(X), 1))


def predictor_of(classifier: FakeClassifier, width: int = 2) -> Predictor:
    """Return a warmed-up predictor with numeric features."""
    features = tuple(Feature(f"feature {index}", "number") for index in range(width))
    predictor = Predictor("m", 1, Schema(features, ("a", "b")), classifier, Limits())
    predictor.warm()
    return predictor


class ClockedClassifier(FakeClassifier):
    """Takes a set time for each run and row by its own clock; refuses negative numbers.

    `broken` rows get a probability of NaN, as when a classifier overflows.
    """

    in_other_process = True

    def __init__(self, run: float, row: float, broken: float = np.inf) -> None:
        super().__init__()
        self.run, self.row, self.broken = run, row, broken
        self.now = 0.0
        self.sizes: list[int] = []

    def clock(self) -> float:
        return self.now

    def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        self.now += self.run + len(X) * self.row
        self.sizes.append(len(X))
        if (X < 0).any():
            raise ValueError("a number is negative")
        return (X[:, 0] > 1).astype(np.int64)

    def labels_and_probabilities(
        self, X: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        chance = np.where(X[:, 0] == self.broken, np.nan, X[:, 0] / 10)
        return self.labels(X), np.column_stack([1 - chance, chance])
