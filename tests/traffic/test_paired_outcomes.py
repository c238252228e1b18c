"""What outcomes show of two versions, whatever becomes of the one that is asked besides."""

from collections.abc import Callable

import numpy as np
import pytest

from service.common.errors import ClassifierUnavailable, Overloaded
from service.processes.connection import Defect
from service.serving.predictor import Predictor
from service.traffic.comparison import Comparison
from service.traffic.paired_outcomes import MOST_SECONDS, PairedOutcomes, paired_outcomes
from tests.support.compared import Matrix, Scripted, above, traffic, version
from tests.support.references import FakeClock

ROWS = np.array([[1.0], [6.0], [8.0], [9.0]])
ABOVE_5, ABOVE_8 = above(5), above(8.5)
TRUTH = np.array([0, 0, 1, 1])
BY_IN_USE, BY_SECOND = np.array([0, 1, 1, 1]), np.array([0, 0, 0, 1])


def pairs_of(
    second: Callable[[Matrix], np.ndarray] = ABOVE_8,
    in_use: Callable[[Matrix], np.ndarray] = ABOVE_5,
    of_second: bool = False,
    clock: FakeClock | None = None,
) -> PairedOutcomes:
    comparison = Comparison(7, traffic(), version(Scripted(in_use)), version(Scripted(second)))
    return PairedOutcomes(comparison, of_second, clock or FakeClock())


def counted(pairs: PairedOutcomes) -> tuple[int, int, int]:
    return pairs.rows, pairs.only_in_use_right, pairs.only_second_right


def test_rows_of_either_version_count_alike() -> None:
    of_in_use, of_second = pairs_of(), pairs_of(of_second=True)

    of_in_use.add(ROWS, TRUTH, BY_IN_USE)
    of_second.add(ROWS, TRUTH, BY_SECOND)

    assert counted(of_in_use) == counted(of_second) == (4, 1, 1)


def test_a_row_that_the_other_version_refuses_is_wrong_for_it() -> None:
    def refuses(X: Matrix) -> np.ndarray:
        if (X > 7).any():
            raise ValueError("too large")
        return X[:, 0] > 5

    pairs = pairs_of(refuses)

    pairs.add(ROWS, TRUTH, BY_IN_USE)

    assert counted(pairs) == (4, 2, 0)


@pytest.mark.parametrize("error", [ClassifierUnavailable(), Overloaded(), Defect("it failed")])
def test_rows_that_it_could_not_be_asked_count_for_nothing(error: Exception) -> None:
    def fails(_: Matrix) -> np.ndarray:
        raise error

    for pairs in (pairs_of(fails), pairs_of(in_use=fails, of_second=True)):
        pairs.add(ROWS, TRUTH, BY_IN_USE)
        assert counted(pairs) == (0, 0, 0)


def test_a_request_waits_for_the_other_version_for_a_limited_time() -> None:
    clock = FakeClock(0.0)
    asked: list[int] = []

    def is_slow(X: Matrix) -> np.ndarray:
        clock.now += MOST_SECONDS / 2
        asked.append(len(X))
        return X[:, 0] > 8.5

    pairs = pairs_of(is_slow, clock=clock)
    many = 5000

    pairs.add(np.tile(ROWS, (many, 1)), np.tile(TRUTH, many), np.tile(BY_IN_USE, many))

    assert len(asked) == 2
    assert 0 < pairs.rows == sum(asked) < 4 * many


def test_only_the_two_versions_are_answered_by_one_another() -> None:
    def named(name: str, number: int) -> Predictor:
        predictor = version()
        predictor.name, predictor.version = name, number
        return predictor

    in_use, second = named("m", 1), named("m", 2)
    comparison = Comparison(7, traffic(), in_use, second)

    assert paired_outcomes(None, in_use) is None
    assert paired_outcomes(comparison, named("m", 3)) is None
    assert paired_outcomes(comparison, named("other", 2)) is None
    for predictor in (in_use, second):
        assert paired_outcomes(comparison, predictor) is not None
