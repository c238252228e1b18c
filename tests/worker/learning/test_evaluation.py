"""What a training records of its held-out rows: scikit-learn's figures, within a bounded file."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from service.schema.evaluation import MOST_BYTES, Evaluation, decode
from service.worker.data.table import built_in
from service.worker.learning import evaluation
from service.worker.learning.curves import curves_of
from service.worker.learning.fitting import Fitted
from tests.support.fitting import mixed, numbers, small, texts, trained


def recorded(fitted: Fitted) -> Evaluation:
    classes, truth = fitted.schema.classes, fitted.codes[fitted.test]
    curves = curves_of(truth, fitted.held_out, len(classes))
    data = evaluation.record(classes, fitted.report, fitted.confusion, curves)
    assert data is not None
    return decode(data)


def of(data_set: str, **keys: Any) -> tuple[Fitted, Evaluation]:
    table, target = built_in(data_set)
    fitted = trained(table, target=target, **{"model_type": "GaussianNB", **keys})
    return fitted, recorded(fitted)


def test_it_has_what_scikit_learn_measures_of_each_class() -> None:
    fitted, found = of("wine")

    assert found.classes == list(fitted.schema.classes)
    assert [one.label for one in found.by_class] == found.classes
    assert found.rows == len(fitted.test) == sum(one.rows for one in found.by_class)
    assert found.confusion == fitted.confusion.tolist()
    truth = fitted.codes[fitted.test]
    predicted = fitted.predicted[np.isin(fitted.checked, fitted.test)]
    assert found.confusion == metrics.confusion_matrix(truth, predicted).tolist()
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(truth, predicted)
    assert [one.precision for one in found.by_class] == pytest.approx(precision.tolist(), abs=1e-6)
    assert [one.recall for one in found.by_class] == pytest.approx(recall.tolist(), abs=1e-6)
    assert [one.f1 for one in found.by_class] == pytest.approx(f1.tolist(), abs=1e-6)
    assert [one.rows for one in found.by_class] == rows.tolist()


def test_the_areas_are_those_of_the_metrics() -> None:
    for data_set, curves in (("breast_cancer", 1), ("wine", 3), ("digits", 10)):
        fitted, found = of(data_set)

        assert found.roc is not None
        assert found.calibration is not None
        assert len(found.roc) == len(found.calibration) == curves
        mean = np.mean([curve.auc for curve in found.roc])
        assert mean == pytest.approx(fitted.metrics["roc_auc"], abs=1e-5)
        for curve, calibration in zip(found.roc, found.calibration, strict=True):
            assert curve.label == calibration.label
            assert (curve.points[0], curve.points[-1]) == ([0, 0], [1, 1])
            assert sum(part.rows for part in calibration.bins) == found.rows
    _, found = of("breast_cancer")
    assert found.roc is not None
    assert found.roc[0].label == found.classes[1]


def test_without_probabilities_there_are_no_curves() -> None:
    _, found = of("iris", model_type="SVC")

    assert "roc" not in found.model_fields_set
    assert "calibration" not in found.model_fields_set
    assert found.confusion is not None


def many(classes: int) -> Fitted:
    rows = classes * 6
    group = np.arange(rows) % classes
    table = small(rows, z=numbers(group), y=texts([f"class {k:03}" for k in group]))
    return trained(table, model_type="GaussianNB")


@pytest.mark.parametrize(("classes", "curves", "confusion"), [(10, 1, 1), (11, 0, 1), (51, 0, 0)])
def test_of_many_classes_less_is_recorded(classes: int, curves: bool, confusion: bool) -> None:
    found = recorded(many(classes))

    assert len(found.by_class) == classes
    assert ("roc" in found.model_fields_set) is bool(curves)
    assert ("confusion" in found.model_fields_set) is bool(confusion)


def test_labels_keep_their_type() -> None:
    for labels in ([False, True], [3, 7], ["3", "7"]):
        column = texts([str(labels[row % 2]) for row in range(60)])
        if labels[0] == 3:
            column = numbers([labels[row % 2] for row in range(60)])
        if labels[0] is False:
            column = mixed(60).columns["flag"]
        found = recorded(trained(small(y=column)))

        assert found.classes == labels
        assert [type(one.label) for one in found.by_class] == [type(one) for one in labels]


def test_the_same_training_records_the_same_bytes_after_a_refit() -> None:
    fitted, found = of("iris", refit=True)

    assert found == of("iris")[1]
    assert fitted.held_out is not None


@pytest.mark.parametrize(("count", "length"), [(10_001, 1), (9_000, 100)])
def test_what_would_be_too_large_is_not_recorded(count: int, length: int) -> None:
    labels = [f"{k:0{length}}" for k in range(count)]
    shares = {"precision": 0.123456, "recall": 0.123456, "f1": 0.123456, "support": 1}
    report = [{"label": label, **shares} for label in labels]

    small_one = evaluation.record(labels[:40], report[:40], np.eye(40, dtype=np.int64), [])
    data = evaluation.record(labels, report, np.ones((1, 1), np.int64), [])

    assert small_one is not None
    assert len(small_one) < MOST_BYTES
    assert data is None
