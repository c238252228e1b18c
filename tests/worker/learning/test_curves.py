"""The curves of held-out rows: their values are scikit-learn's, and their points are few."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from service.worker.learning.curves import Calibration, curves_of, pooled, thinned

RANDOM = np.random.default_rng(3)


def probabilities(rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true classes, and probabilities that tell something about them."""
    truth = np.arange(rows) % classes
    scores = RANDOM.random((rows, classes)) + 0.7 * np.eye(classes)[truth]
    return truth, scores / scores.sum(axis=1, keepdims=True)


def distance(points: np.ndarray, line: np.ndarray) -> float:
    """Return how far the farthest point is from a line through others."""
    start, along = line[:-1], np.diff(line, axis=0)
    off = points[:, None, :] - start[None]
    lengths = np.maximum((along**2).sum(axis=1), 1e-300)
    share = np.clip((off * along).sum(axis=2) / lengths, 0.0, 1.0)
    return float(np.linalg.norm(off - share[..., None] * along, axis=2).min(axis=1).max())


def test_of_two_classes_the_second_has_the_curve() -> None:
    truth, given = probabilities(500, 2)

    (curve,) = curves_of(truth, given, 2)

    expected = metrics.roc_curve(truth == 1, given[:, 1])
    assert curve.place == 1
    assert np.array_equal(curve.false_positives, expected[0])
    assert np.array_equal(curve.true_positives, expected[1])
    assert curve.area == pytest.approx(metrics.roc_auc_score(truth, given[:, 1]))


def test_of_more_classes_each_has_one_against_the_rest() -> None:
    truth, given = probabilities(500, 4)

    curves = curves_of(truth, given, 4)

    assert [curve.place for curve in curves] == [0, 1, 2, 3]
    for curve in curves:
        area = metrics.roc_auc_score(truth == curve.place, given[:, curve.place])
        assert curve.area == pytest.approx(area)


def test_there_is_none_without_probabilities_or_for_more_than_ten_classes() -> None:
    truth, given = probabilities(100, 11)
    broken = given.copy()
    broken[3, 1] = np.nan

    assert curves_of(truth, None, 11) == []
    assert curves_of(truth, given, 11) == []
    assert curves_of(np.minimum(truth, 9), given[:, :10], 10) != []
    assert curves_of(np.minimum(truth, 9), broken[:, :10], 10) == []


def test_a_class_that_was_not_held_out_has_none() -> None:
    truth, given = probabilities(100, 3)

    assert [curve.place for curve in curves_of(np.minimum(truth, 1), given, 3)] == [0, 1]
    assert curves_of(np.zeros(100, np.int64), given, 3) == []


def test_a_calibration_counts_every_row_in_its_tenth() -> None:
    scores = np.array([0.0, 0.1, 0.11, 0.5, 0.55, 0.55, 1.0])
    hits = np.array([0, 0, 1, 0, 1, 1, 1]) > 0

    found = Calibration.measure(hits, scores)

    observed, predicted = calibration_curve(hits, scores, n_bins=10)
    assert found.observed.tolist() == observed.tolist() == [0.0, 1.0, 0.0, 1.0, 1.0]
    assert found.predicted.tolist() == predicted.tolist()
    assert found.rows.tolist() == [2, 1, 1, 2, 1]


def test_classes_are_pooled_to_one_calibration() -> None:
    curves = curves_of(*probabilities(300, 5), 5)

    found = pooled(curves)

    assert found.rows.sum() == 1500
    assert (found.observed * found.rows).sum() == pytest.approx(300)


@pytest.mark.parametrize("rows", [50, 2_000, 20_000])
def test_a_thinned_curve_has_few_points_and_runs_where_the_whole_one_does(rows: int) -> None:
    for curve in curves_of(*probabilities(rows, 3), 3):
        points = np.column_stack((curve.false_positives, curve.true_positives))

        few = thinned(points)

        assert len(few) <= 200
        assert (few[0].tolist(), few[-1].tolist()) == ([0, 0], [1, 1])
        assert (np.diff(few, axis=0) >= 0).all()
        assert distance(points, few) < 0.0035
        assert metrics.auc(*few.T) == pytest.approx(curve.area, abs=0.001)


def test_a_line_with_few_corners_keeps_them_all() -> None:
    corners = np.array([[0, 0], [0, 0.5], [0.3, 0.5], [0.3, 0.9], [1, 1.0]])
    between = (corners[:-1] + corners[1:]) / 2
    points = np.insert(corners, [1, 2, 3, 4], between, axis=0)

    assert thinned(points).tolist() == corners.tolist()


def test_two_points_are_left_as_they_are() -> None:
    ends = np.array([[0.0, 0.0], [1.0, 1.0]])

    assert thinned(ends).tolist() == ends.tolist()
