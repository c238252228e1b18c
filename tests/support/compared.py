"""Two versions that are compared, whose answers and times a test sets."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.common.traffic import Compared, Mode, Rules, Traffic
from service.schema.contract import Feature, Schema
from service.schema.decoder import Limits
from service.serving.predictor import Predictor
from service.skew.budget import Budget
from service.skew.tally import Tally
from service.traffic.comparer import Comparer
from service.traffic.comparison import Comparison
from tests.support.classifiers import ClockedClassifier
from tests.support.references import FAR_MORE, FakeClock

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]

SCHEMA = Schema((Feature("x", "number"),), ("a", "b"))


class Scripted(ClockedClassifier):
    """Answers what a function says of the matrix, in no time of its own unless it is set."""

    def __init__(
        self, answer: Callable[[Matrix], NDArray[Any]], run: float = 0.0, row: float = 0.0
    ) -> None:
        super().__init__(run, row)
        self.answer = answer

    def labels(self, X: Matrix) -> Labels:
        super().labels(X)
        return self.answer(X).astype(np.int64)


def above(bound: float) -> Callable[[Matrix], NDArray[Any]]:
    """Answer the second class above a bound."""
    return lambda X: X[:, 0] > bound


def version(
    classifier: ClockedClassifier | None = None,
    schema: Schema = SCHEMA,
    budget: Budget | None = None,
) -> Predictor:
    """Return a predictor that counts its rows; without a classifier, second class above 5."""
    predictor = Predictor("m", 1, schema, classifier or Scripted(above(5)), Limits(rows=10_000))
    count(predictor, budget)
    return predictor


def count(predictor: Predictor, budget: Budget | None = None) -> None:
    """Have a predictor count its rows."""
    budget = Budget(FAR_MORE) if budget is None else budget
    predictor.tally = Tally("it", predictor.schema, None, budget, FakeClock())


def traffic(mode: Mode = "shadow", percent: int = 100, rules: Rules | None = None) -> Traffic:
    return Traffic("m", 2, "0" * 64, "run", 1.7e9, mode, percent, rules=rules)


class Stage:
    """A comparer without its thread, and what is compared in it."""

    def __init__(
        self,
        in_use: Predictor,
        second: Predictor,
        mode: Mode = "shadow",
        percent: int = 100,
    ) -> None:
        self.comparison: Comparison | None = Comparison(7, traffic(mode, percent), in_use, second)
        self.pauses: list[float] = []
        self.at_a_pause: Callable[[], object] = lambda: None
        self.comparer = Comparer(lambda: self.comparison, FakeClock(0.0), self._pause)
        self.comparer.step()

    def _pause(self, seconds: float) -> object:
        self.pauses.append(seconds)
        return self.at_a_pause()

    @property
    def counts(self) -> Compared:
        """What was counted of the comparison that runs."""
        assert self.comparison is not None
        counts = self.comparer.compared(self.comparison.epoch)
        assert counts is not None
        return counts

    def step(self) -> Compared:
        """Count what was answered, and compare it."""
        if self.comparison is not None:
            for predictor in (self.comparison.in_use, self.comparison.second):
                if predictor.tally is not None:
                    predictor.tally.drain()
        self.comparer.step()
        return self.counts


def answer(predictor: Predictor, x: Sequence[float] | Matrix) -> None:
    """Have a client ask for these rows, of one number each or as they are."""
    rows = np.asarray(x, np.float64)
    rows = rows.reshape(-1, 1) if rows.ndim == 1 else rows
    labels, _ = predictor.classification.classify(rows, probabilities=False)
    predictor.count(rows, labels, None)
