import io
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from service.schema.train_request import TrainRequest
from service.worker.data.table import Column, Table, built_in
from service.worker.learning import plots
from service.worker.learning.curves import curves_of
from service.worker.learning.fitting import Fitted, fit
from service.worker.learning.plan import plan


def trained(name: str, table: Table, target: str) -> Fitted:
    return fit(plan(table, TrainRequest(model_type=name, target=target)))


def pictures(fitted: Fitted) -> dict[str, bytes]:
    truth, classes = fitted.codes[fitted.test], len(fitted.schema.classes)
    return plots.pictures(fitted, curves_of(truth, fitted.held_out, classes))


def labelled(labels: list[str], rows: int = 400) -> Table:
    group = np.arange(rows) % len(labels)
    target = np.empty(rows, dtype=object)
    target[:] = [labels[k] for k in group]
    noise = np.random.default_rng(0).normal(size=rows)
    return Table({"x": Column("number", group + noise), "y": Column("text", target)})


def image(data: bytes) -> Any:
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return imread(io.BytesIO(data))


ALL = {"confusion_matrix.png", "roc_curve.png", "calibration_curve.png"}


@pytest.mark.parametrize("data", ["iris", "breast_cancer", "digits"])
def test_classifier_with_probabilities_gets_three_pictures_that_are_not_blank(data: str) -> None:
    drawn = pictures(trained("GaussianNB", *built_in(data)))
    assert set(drawn) == ALL
    for png in drawn.values():
        pixels = image(png)
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20


def test_classifier_without_probabilities_gets_the_confusion_matrix_alone() -> None:
    assert set(pictures(trained("SVC", *built_in("iris")))) == {"confusion_matrix.png"}


def test_probabilities_that_are_not_finite_are_not_drawn() -> None:
    fitted = trained("GaussianNB", *built_in("iris"))
    assert fitted.held_out is not None
    broken = fitted.held_out.copy()
    broken[0, 0] = np.nan
    assert set(pictures(replace(fitted, held_out=broken))) == {"confusion_matrix.png"}


def test_more_than_ten_classes_get_no_curves() -> None:
    table = labelled([f"class {i}" for i in range(11)])
    assert set(pictures(trained("GaussianNB", table, "y"))) == {"confusion_matrix.png"}


@pytest.mark.parametrize(
    "labels",
    [
        ["$x^$", "$\\frac{1$"],
        ["日本語", "العربية"],
        ["_hidden", "a" * 250],
        ["line\nbreak", "tab\tstop"],
        ["", " "],
        ["{}", "%s %d"],
    ],
)
def test_any_label_can_be_drawn_as_it_is(labels: list[str]) -> None:
    assert set(pictures(trained("GaussianNB", labelled(labels), "y"))) == ALL


@pytest.mark.parametrize("count", [2, 5, 14, 60, 300])
def test_pictures_stay_of_a_size_that_a_page_can_show(count: int) -> None:
    table = labelled([f"a class with a long name {i}" for i in range(count)], rows=count * 10)
    for png in pictures(trained("GaussianNB", table, "y")).values():
        width, height = struct.unpack(">II", png[16:24])
        assert width < 1500
        assert height < 1500
        assert len(png) < 400_000


def test_class_that_was_not_held_out_is_left_out_of_the_curves() -> None:
    fitted = trained("GaussianNB", *built_in("iris"))
    assert fitted.held_out is not None
    codes = fitted.codes.copy()
    codes[fitted.test] = np.minimum(codes[fitted.test], 1)
    assert set(pictures(replace(fitted, codes=codes))) == ALL


def test_same_training_gives_the_same_bytes() -> None:
    fitted = trained("GaussianNB", *built_in("iris"))
    assert pictures(fitted) == pictures(fitted)
