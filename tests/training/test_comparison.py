"""The new version and the one in use on the same held-out rows: which is better, and why not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from service.common.errors import ClassifierUnavailable, JobStopped
from service.schema.contract import Feature, Schema
from service.serving.current_model import CurrentModel
from service.training.comparison import Compared, compare
from tests.support.classifiers import FakeClassifier
from tests.support.comparing import SCHEMA, Above, in_use, write_held_out

X = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
TRUTH = [0, 0, 0, 1, 1, 1]
RIGHT, WORSE = 2.5, 3.5


def compared(folder: Path, model: CurrentModel) -> Compared:
    return compare(folder, model, lambda _: None, lambda: None)


def test_the_one_with_the_higher_balanced_accuracy_is_better(tmp_path: Path) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(RIGHT))

    found = compared(tmp_path, in_use(Above(WORSE), epoch=7))

    assert found.comparison.verdict == "better"
    assert found.epoch == 7
    assert found.notes == ()
    assert (found.comparison.only_new_right, found.comparison.only_in_use_right) == (1, 0)
    assert found.comparison.p_value == 1.0


def test_the_metrics_are_those_of_scikit_learn(tmp_path: Path) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(RIGHT, 0.7))

    comparison = compared(tmp_path, in_use(Above(WORSE, 0.8))).comparison

    labels, chances = Above(WORSE, 0.8).labels_and_probabilities(np.array(X).reshape(-1, 1))
    assert comparison.in_use == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(TRUTH, labels),
            "balanced_accuracy": metrics.balanced_accuracy_score(TRUTH, labels),
            "f1": metrics.f1_score(TRUTH, labels, average="macro"),
            "log_loss": metrics.log_loss(TRUTH, chances),
        }
    )
    assert comparison.new["log_loss"] == pytest.approx(-np.log(0.7))
    assert comparison.rows == 6


def test_a_worse_one_is_not_better(tmp_path: Path) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(WORSE))

    comparison = compared(tmp_path, in_use(Above(RIGHT))).comparison

    assert (comparison.verdict, comparison.only_in_use_right) == ("not better", 1)


@pytest.mark.parametrize(
    ("sure", "verdict"), [(0.95, "better"), (0.9, "not better"), (0.8, "not better")]
)
def test_of_equal_ones_the_lower_log_loss_decides(
    tmp_path: Path, sure: float, verdict: str
) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(RIGHT, sure))

    assert compared(tmp_path, in_use(Above(RIGHT, 0.9))).comparison.verdict == verdict


class Unsure(Above):
    has_probabilities = False


def test_without_a_log_loss_on_either_side_only_balanced_accuracy_counts_and_that_is_told(
    tmp_path: Path,
) -> None:
    for new, other, named in (
        (Unsure(RIGHT), Above(RIGHT), "the new version,"),
        (Above(RIGHT), Unsure(RIGHT), "'m' version 3,"),
        (Unsure(RIGHT), Unsure(RIGHT), "the new version and of 'm' version 3,"),
    ):
        folder = tmp_path / named
        write_held_out(folder, X, TRUTH, new)

        found = compared(folder, in_use(other))

        assert found.comparison.verdict == "not better"
        (note,) = found.notes
        assert f"no log loss of {named} so only balanced accuracy counts" in note


def test_a_row_that_the_version_in_use_refuses_is_wrong_for_it(tmp_path: Path) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(RIGHT), refused=[0, 5])

    found = compared(tmp_path, in_use(Above(RIGHT)))

    assert found.comparison.verdict == "better"
    assert found.comparison.only_new_right == 2
    assert found.comparison.in_use is not None
    assert found.comparison.in_use["balanced_accuracy"] == pytest.approx(2 / 3)
    assert "log_loss" not in found.comparison.in_use
    assert "refuses 2 of 6 held-out rows" in found.notes[0]


def test_where_it_refuses_all_rows_all_are_wrong_for_it(tmp_path: Path) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(RIGHT), refused=range(6))

    comparison = compared(tmp_path, in_use(Above(RIGHT))).comparison

    assert comparison.in_use == {"accuracy": 0.0, "balanced_accuracy": 0.0, "f1": 0.0}


def test_the_same_classes_in_another_order_are_compared_by_their_labels(tmp_path: Path) -> None:
    class Below(Above):
        def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
            return 1 - super().labels(X)

    write_held_out(tmp_path, X, TRUTH, Above(RIGHT))
    turned = replace(SCHEMA, classes=("b", "a"))

    comparison = compared(tmp_path, in_use(Below(RIGHT), schema=turned)).comparison

    assert comparison.in_use == comparison.new


OTHERS: Mapping[str, Schema] = {
    "it has no feature 'x'": Schema((Feature("z", "number"),), ("a", "b")),
    "it has the feature 'z', and the new version does not": Schema(
        (Feature("x", "number"), Feature("z", "text")), ("a", "b")
    ),
    "its feature 'x' is a boolean, not a number": Schema((Feature("x", "boolean"),), ("a", "b")),
    "it has no class 'b'": Schema(SCHEMA.features, ("a", "c")),
    "it has the class 'c', and the new version does not": Schema(SCHEMA.features, ("a", "b", "c")),
}


@pytest.mark.parametrize("reason", OTHERS)
def test_another_contract_is_incomparable_and_the_difference_is_told(
    tmp_path: Path, reason: str
) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(RIGHT))

    found = compared(tmp_path, in_use(Above(RIGHT), schema=OTHERS[reason]))

    assert found.comparison.verdict == "incomparable"
    assert found.comparison.in_use is None
    assert found.comparison.new["accuracy"] == 1.0
    assert reason in found.notes[0]


def test_labels_of_another_type_are_other_classes(tmp_path: Path) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(RIGHT), classes=(0, 1))

    found = compared(tmp_path, in_use(Above(RIGHT), schema=replace(SCHEMA, classes=(False, True))))

    assert found.comparison.verdict == "incomparable"


@pytest.mark.parametrize("load_error", [None, "It cannot be loaded."])
def test_with_nothing_in_use_nothing_compares(tmp_path: Path, load_error: str | None) -> None:
    write_held_out(tmp_path, X, TRUTH, Above(RIGHT))
    model = CurrentModel()
    model.load_error = load_error

    found = compared(tmp_path, model)

    assert found.comparison.verdict == "incomparable"
    assert (load_error or "No model is in use.") in found.notes[0]


@pytest.mark.parametrize("error", [ClassifierUnavailable(), ValueError("a number is too large")])
def test_a_version_that_cannot_answer_is_incomparable_and_says_why(
    tmp_path: Path, error: Exception
) -> None:
    class Broken(FakeClassifier):
        def labels_and_probabilities(self, X: NDArray[np.float64]) -> Any:  # noqa: ARG002
            raise error

    write_held_out(tmp_path, X, TRUTH, Above(RIGHT))

    found = compared(tmp_path, in_use(Broken()))

    assert found.comparison.verdict == "incomparable"
    assert "cannot answer the held-out rows" in found.notes[0]


def test_a_cancelled_training_ends_its_comparison(tmp_path: Path) -> None:
    def stopped() -> None:
        raise JobStopped("It was cancelled.")

    write_held_out(tmp_path, X, TRUTH, Above(RIGHT))

    with pytest.raises(JobStopped):
        compare(tmp_path, in_use(Above(RIGHT)), lambda _: None, stopped)
