"""Checks before a fit: what cannot be learnt, and what would take too long, is refused."""

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.common.errors import UnusableData
from service.schema.search import Search
from service.worker.data.table import Column, Table
from service.worker.learning.cost import Bounds
from service.worker.learning.plan import plan
from tests.support.fitting import numbers, reason, request, small, texts, trained


def test_target_that_is_no_column_is_refused_with_the_one_meant() -> None:
    assert "did you mean 'y'" in reason(small(), "/target", target="Y")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (numbers([1.0] * 60), "one class only"),
        (texts([None, *["a", "b"] * 29, "a"]), "missing in 1 of 60"),
        (numbers(np.arange(60) / 7), "not whole"),
        (texts([f"row {i}" for i in range(60)]), "another value in every row"),
        (texts(["rare", *["a", "b"] * 29, "a"]), "one row only of class 'rare'"),
        (texts(["a" * 300, "b"] * 30), "300 characters"),
    ],
)
def test_target_that_no_classifier_can_learn_is_refused(target: Column, said: str) -> None:
    assert said in reason(small(y=target), "/target")


def test_target_of_more_than_1000_classes_is_refused() -> None:
    table = small(2400, y=numbers(np.arange(2400) // 2))
    assert "1,200 classes" in reason(table, "/target")


@pytest.mark.parametrize(
    "show",
    [
        lambda day: day.isoformat(),
        lambda day: f"{day.isoformat()}T10:30:00Z",
        lambda day: f"{day.isoformat()} 10:30:00.123+02:00",
        lambda day: day.strftime("%d/%m/%Y"),
        lambda day: day.strftime("%m/%d/%y"),
        lambda day: day.strftime("%d.%m.%Y %H:%M"),
        lambda day: day.strftime("%d %b %Y"),
        lambda day: day.strftime("%B %d, %Y"),
        lambda day: day.strftime("%Y/%m/%d"),
        lambda day: f"{day.day % 24}:{day.month:02}",
    ],
)
def test_feature_of_dates_is_refused_with_what_to_do(show: Callable[[Any], str]) -> None:
    first = datetime.date(2024, 1, 1)
    days = [show(first + datetime.timedelta(days=9 * i)) for i in range(60)]
    message = reason(small(when=texts(days)), "/dataset")
    assert "'when' looks like dates" in message
    assert "unix seconds" in message


@pytest.mark.parametrize("word", ["1-2 years", "10/10", "v1.2.3", "3-4-5-6", "may"])
def test_feature_of_words_with_digits_is_no_date(word: str) -> None:
    table = small(word=texts([word, "other", "third"] * 20))
    assert "word" in plan(table, request()).features


def test_feature_of_identifiers_is_refused() -> None:
    message = reason(small(id=texts([f"customer {i}" for i in range(60)])), "/dataset")
    assert "nearly every row" in message


def test_feature_of_more_than_1000_categories_is_refused() -> None:
    words = texts([f"w{i % 1100}" for i in range(3300)])
    assert "1,100 different texts" in reason(small(3300, word=words), "/dataset")


def test_feature_of_numbers_with_one_word_among_them_is_refused_with_the_word() -> None:
    ages = texts([*map(str, range(20, 50)), *["N/A"] * 30])
    message = reason(small(age=ages), "/dataset")
    assert "30 of its 31 different values look like numbers and 'N/A' does not" in message


def test_feature_of_grades_that_are_partly_digits_is_text() -> None:
    assert "grade" in plan(small(grade=texts(["1", "2", "3+"] * 20)), request()).features


def test_feature_of_few_digits_and_one_word_is_text() -> None:
    sizes = texts(["1", "2", "3", "4", "5", "6+"] * 10)
    assert "size" in plan(small(size=sizes), request()).features


def test_column_without_a_value_in_the_training_part_is_refused() -> None:
    held_out = plan(small(), request()).test
    gaps = np.full(60, np.nan)
    gaps[held_out[0]] = 1.0
    assert "no value in the rows to train on" in reason(small(g=numbers(gaps)), "/dataset")


def test_rows_times_columns_and_categories_are_bounded() -> None:
    words = texts([f"w{i % 1000}" for i in range(110_000)])
    assert "values; there may be 100,000,000" in reason(small(110_000, w=words), "/dataset")


def test_fold_that_sees_no_value_of_a_column_is_fitted_all_the_same() -> None:
    planned = plan(small(), request())
    gaps = np.full(60, np.nan)
    words: list[str | None] = [None] * 60
    gaps[planned.train[0]] = 1.0
    words[planned.train[0]] = "a"
    fitted = trained(small(gaps=numbers(gaps), word=texts(words)), cv=3)
    assert fitted.metrics["cv_accuracy_mean"] > 0.5
    assert fitted.notes == []


def test_every_feature_that_cannot_be_used_is_listed() -> None:
    table = small(
        empty=numbers([np.nan] * 60),
        when=texts(["2024-01-01", "2024-01-02"] * 30),
        vast=numbers([1e200] * 60),
    )
    with pytest.raises(UnusableData) as caught:
        plan(table, request())
    assert len(caught.value.problems) == 3
    assert str(caught.value).startswith("3 problems with the data: ")


def test_number_beyond_float32_is_refused_for_trees_alone() -> None:
    table = small(big=numbers([1e39, 1.0] * 30))
    assert "in row 1" in reason(table, "/dataset", model_type="RandomForestClassifier")
    assert "big" in plan(table, request()).features


def test_data_set_of_the_target_alone_is_refused() -> None:
    assert "no column beside" in reason(Table({"y": small().columns["y"]}), "/dataset")


def test_without_preprocessing_text_and_missing_values_are_refused_where_not_taken() -> None:
    gaps = small(gaps=numbers([np.nan, 1.0, 2.0] * 20))
    assert "takes none" in reason(gaps, "/dataset", preprocessing="none")
    words = small(word=texts(["a", "b"] * 30))
    assert "is text" in reason(words, "/dataset", preprocessing="none")
    for name in ("HistGradientBoostingClassifier", "RandomForestClassifier"):
        fitted = trained(gaps, preprocessing="none", model_type=name)
        assert fitted.schema.features[1].nullable
        assert fitted.pipeline["prepare"] == "passthrough"


@pytest.mark.parametrize("size", [0.001, 0.999])
def test_test_size_that_leaves_a_part_without_a_row_a_class_is_refused(size: float) -> None:
    assert "60 rows leaves" in reason(small(), "/test_size", test_size=size)


def test_test_size_that_leaves_no_row_of_a_rare_class_to_train_with_is_refused() -> None:
    table = small(y=texts(["rare"] * 2 + ["a", "b"] * 29))
    assert "'rare'" in reason(table, "/test_size", test_size=0.9)


def test_more_folds_than_rows_of_a_class_are_refused() -> None:
    table = small(y=texts(["rare"] * 2 + ["a", "b"] * 29))
    assert "'rare' has" in reason(table, "/cv", cv=5)
    assert "'rare' has" in reason(table, "/cv", search=Search(params={"C": [1, 2]}))


def test_classifier_that_splits_again_needs_two_rows_of_each_class() -> None:
    table = small(y=texts(["rare"] * 2 + ["a", "b"] * 29))
    name = "LogisticRegressionCV"
    assert "splits the rows again" in reason(table, "/target", model_type=name, test_size=0.5)
    enough = small(y=texts(["rare"] * 4 + ["a", "b"] * 28))
    assert trained(enough, model_type=name).pipeline["classify"].cv == 3


def test_weight_of_a_class_that_is_not_there_is_refused() -> None:
    assert "not a class" in reason(small(), "/class_weight/maybe", class_weight={"maybe": 1.0})


@pytest.mark.parametrize(
    ("target", "weights", "expected"),
    [
        (numbers([1, 2] * 30), {"1": 3, "2": 1}, {1: 3.0, 2: 1.0}),
        (Column("boolean", np.array([1.0, 0.0] * 30)), {"true": 3}, {True: 3.0}),
        (texts(["a", "b"] * 30), {"a": 3}, {"a": 3.0}),
    ],
)
def test_weights_by_the_labels_spelling_reach_the_labels(
    target: Column, weights: dict[str, float], expected: dict[Any, float]
) -> None:
    fitted = trained(small(y=target), class_weight=weights)
    assert fitted.pipeline["classify"].class_weight == expected


@pytest.mark.parametrize(
    ("rows", "keys", "said"),
    [
        (2600, {"model_type": "GaussianProcessClassifier"}, "takes 2,000 rows"),
        (6400, {"model_type": "LabelSpreading"}, "takes 5,000 rows"),
        (63000, {"model_type": "SVC"}, "takes 50,000 rows"),
    ],
)
def test_training_whose_cost_grows_with_the_square_is_bounded(
    rows: int, keys: dict[str, Any], said: str
) -> None:
    assert said in reason(small(rows), "/dataset", **keys)


def test_training_that_multiplies_its_cost_is_refused_unless_it_has_the_time() -> None:
    keys = {
        "model_type": "RandomForestClassifier",
        "search": Search(params={"n_estimators": [2000], "max_depth": list(range(1, 51))}),
        "cv": 10,
    }
    rows = small(50_000)
    day = Bounds.of(86_400, 4 * 2**30)

    assert "about 2.0 times what one training may take" in reason(rows, "/search", **keys)
    assert plan(rows, request(**keys), bounds=day).kind.name == "RandomForestClassifier"
    assert Bounds.of(60, 2**30) == Bounds()


def test_more_neighbours_than_rows_are_refused() -> None:
    keys = {"model_type": "KNeighborsClassifier", "params": {"n_neighbors": 49}}
    assert "48" in reason(small(), "/params/n_neighbors", **keys)


def test_more_neighbours_in_a_search_than_rows_are_refused_where_they_were_sent() -> None:
    keys = {
        "model_type": "KNeighborsClassifier",
        "search": Search(params={"n_neighbors": [3, 49]}),
    }
    assert "'n_neighbors' must be at most" in reason(small(), "/search/params/n_neighbors", **keys)


def test_wide_data_is_refused() -> None:
    cells = {f"c{i}": numbers(np.arange(60.0)) for i in range(20_001)}
    assert "20,002 inputs" in reason(Table(small().columns | cells), "/dataset")
