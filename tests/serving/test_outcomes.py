"""Counts of outcomes: their figures are scikit-learn's and scipy's, and they add up."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics

from service.common.outcomes import OutcomeCounts, total
from service.models.classifier import Floats
from service.schema.contract import Feature, Schema
from service.serving.outcomes import calibration_of, count, metrics_of
from service.serving.quality import Ints


def schema_of(classes: int) -> Schema:
    return Schema((Feature("x", "number"),), tuple(range(classes)))


def made(seed: int, rows: int, classes: int) -> tuple[Ints, Floats]:
    random = np.random.default_rng(seed)
    return random.integers(0, classes, rows), random.dirichlet(np.ones(classes) / 2, rows)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 80), classes=st.sampled_from([2, 3, 8, 60])
)
def test_the_figures_of_counts_are_those_of_scikit_learn(
    seed: int, rows: int, classes: int
) -> None:
    truth, chances = made(seed, rows, classes)
    predicted = chances.argmax(axis=1)

    counts = count(schema_of(classes), truth, predicted, chances)

    labels = np.arange(classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert metrics_of(counts) == pytest.approx(
            {
                "accuracy": metrics.accuracy_score(truth, predicted),
                "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
                "f1": metrics.f1_score(truth, predicted, average="macro", zero_division=0),
                "log_loss": metrics.log_loss(truth, chances, labels=labels),
                "brier": metrics.brier_score_loss(
                    truth, chances, labels=labels, scale_by_half=False
                ),
            }
        )
    if counts.confusion is not None:
        expected = metrics.confusion_matrix(truth, predicted, labels=labels)
        assert np.array(counts.confusion).tolist() == expected.tolist()
    assert (counts.confusion is None) == (classes > 50)
    assert counts.is_sound()


def test_counts_in_parts_add_up_to_the_counts_of_all() -> None:
    for classes in (3, 60):
        schema = schema_of(classes)
        truth, chances = made(1, 300, classes)
        predicted = chances.argmax(axis=1)
        parts = [count(schema, truth[at::3], predicted[at::3], chances[at::3]) for at in range(3)]

        found, expected = total(parts), count(schema, truth, predicted, chances)

        assert found is not None
        assert found.confusion == expected.confusion
        assert found.by_class == expected.by_class
        assert metrics_of(found) == pytest.approx(metrics_of(expected))
        for one, other in zip(found.calibration or (), expected.calibration or (), strict=True):
            assert (one.rows, one.right) == (other.rows, other.right)
            assert one.predicted == pytest.approx(other.predicted)


def test_a_tenth_holds_its_upper_edge_and_has_the_interval_of_wilson() -> None:
    chances = np.array([[0.7, 0.3], [0.65, 0.35], [0.3, 0.7], [0.2999, 0.7001], [1.0, 0.0]])
    truth = np.array([0, 1, 1, 1, 0])

    counts = count(schema_of(2), truth, chances.argmax(axis=1), chances)

    found = calibration_of(counts)
    assert found is not None
    assert [(one.from_, one.to, one.rows) for one in found] == [
        (0.6, 0.7, 3),
        (0.7, 0.8, 1),
        (0.9, 1.0, 1),
    ]
    assert found[0].predicted == pytest.approx((0.7 + 0.65 + 0.7) / 3)
    assert found[0].observed == pytest.approx(2 / 3)
    expected = binomtest(2, 3).proportion_ci(method="wilson")
    assert (found[0].low, found[0].high) == pytest.approx((expected.low, expected.high))


def test_without_probabilities_there_are_neither_losses_nor_calibration() -> None:
    counts = count(schema_of(2), np.array([0, 1]), np.array([0, 0]), None)

    assert set(metrics_of(counts)) == {"accuracy", "balanced_accuracy", "f1"}
    assert calibration_of(counts) is None
    assert counts.is_sound()


def test_counts_of_other_classes_are_left_out_of_a_total() -> None:
    mine = OutcomeCounts(2, 1, ("a", "b"), ((1, 0), (0, 0)))
    other = OutcomeCounts(2, 1, ("a", "c"), ((1, 0), (0, 0)))

    assert total([mine, other, mine]) == OutcomeCounts(2, 2, ("a", "b"), ((2, 0), (0, 0)))
    assert total([]) is None
