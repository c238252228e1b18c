"""The statistics of answers whose truth is known, against scikit-learn and scipy."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import metrics

from service.serving.quality import (
    ClassCounts,
    brier_scores,
    has_likelihoods,
    log_losses,
    mcnemar,
    wilson,
)

Ints = NDArray[np.int64]


def answers(seed: int, rows: int, classes: int) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Return true classes, predicted ones and probabilities; some classes may not occur."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, rows)
    chances = random.dirichlet(np.ones(classes), rows)
    chances[0] = np.eye(classes)[(truth[0] + 1) % classes]  # sure of a wrong class
    return truth, chances.argmax(axis=1), chances


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 60), classes=st.integers(2, 8))
def test_shares_are_those_of_scikit_learn(seed: int, rows: int, classes: int) -> None:
    truth, predicted, _ = answers(seed, rows, classes)

    found = ClassCounts.of(truth, predicted, classes).metrics()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
            "f1": metrics.f1_score(truth, predicted, average="macro", zero_division=0),
        }
    assert found == pytest.approx(expected, rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 60), classes=st.integers(2, 8))
def test_losses_are_those_of_scikit_learn(seed: int, rows: int, classes: int) -> None:
    truth, _, chances = answers(seed, rows, classes)
    labels = np.arange(classes)

    losses, scores = log_losses(truth, chances), brier_scores(truth, chances)

    assert losses.mean() == pytest.approx(metrics.log_loss(truth, chances, labels=labels))
    brier = metrics.brier_score_loss(truth, chances, labels=labels, scale_by_half=False)
    assert scores.mean() == pytest.approx(brier)


def test_a_row_without_an_answer_is_wrong_and_predicts_no_class() -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, -1, 1, -1])

    counts = ClassCounts.of(truth, predicted, 2)

    assert counts.rows.tolist() == [2, 2]
    assert counts.predicted.tolist() == [1, 1]
    assert counts.metrics() == pytest.approx(
        {"accuracy": 0.5, "balanced_accuracy": 0.5, "f1": 2 / 3}
    )


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 0.0]])
def test_what_is_no_likelihood_is_told_from_one(row: list[float]) -> None:
    assert not has_likelihoods(np.array([row, [0.5, 0.5]]))
    assert has_likelihoods(np.array([[1.0, 0.0], [0.5, 0.5]]))


@settings(max_examples=200, deadline=None)
@given(one=st.integers(0, 3000), other=st.integers(0, 3000))
def test_mcnemar_is_the_exact_binomial_test_of_scipy(one: int, other: int) -> None:
    expected = binomtest(one, one + other).pvalue if one + other else 1.0

    assert mcnemar(one, other) == pytest.approx(expected, rel=1e-8, abs=1e-200)


def test_mcnemar_of_many_rows_is_quick_and_right() -> None:
    assert mcnemar(300_000, 300_900) == pytest.approx(binomtest(300_000, 600_900).pvalue, rel=1e-6)
    assert mcnemar(0, 10**6) == 0.0


@settings(max_examples=200, deadline=None)
@given(hits=st.integers(0, 500), misses=st.integers(0, 500))
def test_the_interval_is_that_of_wilson(hits: int, misses: int) -> None:
    if not hits + misses:
        return
    expected = binomtest(hits, hits + misses).proportion_ci(method="wilson")

    low, high = wilson(hits, hits + misses)

    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= low <= hits / (hits + misses) <= high <= 1
