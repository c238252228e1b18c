import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from service import schema as contract
from service.errors import InvalidRequest, UnusableData
from service.fit.fit import Fitted, fit
from service.fit.plan import Plan, plan
from service.fit.preprocess import encode, typical
from service.fit.request import Search, TrainRequest, parse_form, parse_request
from service.preparation import Preparation
from service.tables import Column, Table, built_in


def texts(values: list[Any]) -> Column:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return Column("text", column)


def numbers(values: Any) -> Column:
    return Column("number", np.asarray(values, dtype=np.float64))


def small(rows: int = 60, **columns: Column) -> Table:
    """Make two balanced classes that "x" tells apart."""
    half = np.arange(rows) % 2
    base = {
        "x": numbers(half + np.linspace(0, 0.5, rows)),
        "y": texts(["no" if h else "yes" for h in half]),
    }
    return Table(base | columns)


def request(**keys: Any) -> TrainRequest:
    return replace(TrainRequest(model_type="LogisticRegression", target="y"), **keys)


def trained(table: Table, **keys: Any) -> Fitted:
    return fit(plan(table, request(**keys)))


def reason(table: Table, pointer: str, **keys: Any) -> str:
    with pytest.raises(UnusableData) as caught:
        plan(table, request(**keys))
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
    assert str(caught.value).endswith(".")
    return caught.value.problems[0].message


def mixed(rows: int = 200) -> Table:
    random = np.random.default_rng(1)
    half = np.arange(rows) % 2
    gaps = random.normal(size=rows) + half
    gaps[::7] = np.nan
    flags = (random.random(rows) < 0.7).astype(float)
    return small(
        rows,
        gaps=numbers(gaps),
        flag=Column("boolean", flags),
        unsure=Column("boolean", np.where(np.arange(rows) % 9 == 0, np.nan, flags)),
        word=texts([None if i % 11 == 0 else "abca"[i % 4] for i in range(rows)]),
        other=texts(["p q" if i % 3 else "r" for i in range(rows)]),
    )


# What a client may ask for.


def test_request_takes_every_key_and_keeps_what_was_left_out_apart() -> None:
    everything = {
        "name": "churn-1x_Y",
        "model_type": "SVC",
        "params": {"C": 2},
        "dataset": {"columns": []},
        "target": "y",
        "test_size": 0.5,
        "seed": 2**32 - 1,
        "preprocessing": "none",
        "cv": 2,
        "search": {"params": {"gamma": [0.1, "scale"]}, "n_iter": 1},
        "class_weight": {"a": 1},
        "unknown_categories": "ignore",
        "refit": True,
        "use": False,
        "wait": 0,
    }
    read = parse_request(everything)
    assert read.search == Search({"gamma": [0.1, "scale"]}, 1)
    assert (read.name, read.cv, read.use, read.wait) == ("churn-1x_Y", 2, False, 0)
    assert parse_request({}) == TrainRequest()
    assert (parse_request({}).use, parse_request({"use": None}).wait) == (None, None)


WRONG: dict[str, list[object]] = {
    "name": ["", "a/b", "../../x", "in-use", "a" * 129, 5, "é", "a\n"],
    "test_size": [0, 1, 2, -0.1, float("nan"), "0.2", True],
    "seed": [-1, 2**32, 1.0, True, "0"],
    "cv": [1, 21, 5.0, True],
    "wait": [-1, 301, float("nan"), "30", True],
    "target": ["", 3],
    "preprocessing": ["all", True, ["auto"]],
    "unknown_categories": ["accept", 1],
    "refit": [1, "true"],
    "use": [0, "yes"],
    "params": [[], "C=1"],
    "class_weight": ["even", {}, {"a": 0}, {"a": -1}, {"a": "1"}, 3],
    "search": [[], {}, {"params": []}, {"params": {}}],
    "model_type": ["svc", "sklearn.svm.SVC", 3, "SVR"],
    "dataset_url": ["http://169.254.169.254/"],
    "random_state": [1],
}


@pytest.mark.parametrize(("key", "value"), [(key, v) for key, vs in WRONG.items() for v in vs])
def test_request_with_a_wrong_value_points_at_it(key: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request({"model_type": "SVC", key: value})
    assert caught.value.problems[0].pointer.split("/")[1] == key


@pytest.mark.parametrize(
    ("search", "pointer"),
    [
        ({"params": {"C": [1]}, "n_iter": 0}, "/search/n_iter"),
        ({"params": {"C": [1]}, "n_iter": 201}, "/search/n_iter"),
        ({"params": {"C": [1]}, "scoring": "f1"}, "/search/scoring"),
        ({"params": {"C": [1, -1]}}, "/search/params/C/1"),
        ({"params": {"C": []}}, "/search/params/C"),
        ({"params": {"C": 1}}, "/search/params/C"),
        ({"params": {"Ca": [1]}}, "/search/params/Ca"),
        ({"params": {"verbose": [1]}}, "/search/params/verbose"),
        ({"params": {"tol": [1e-3]}}, "/search/params/tol"),
        ({"params": {"C": list(range(1, 100)), "coef0": [1, 2, 3]}}, "/search/params"),
    ],
)
def test_request_with_a_wrong_search_points_into_it(search: object, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request({"model_type": "SVC", "params": {"tol": 1e-2}, "search": search})
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_request_lists_every_problem_and_says_what_was_meant() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request({"test_sise": 0.2, "seed": -1, "model_type": "SCV", "name": "a b"})
    by_pointer = {problem.pointer: problem.message for problem in caught.value.problems}
    assert set(by_pointer) == {"/test_sise", "/seed", "/model_type", "/name"}
    assert "did you mean 'test_size'" in by_pointer["/test_sise"]
    assert str(caught.value).startswith("4 problems: ")


def test_request_that_is_no_object_is_refused() -> None:
    for value in cast("list[object]", [None, [], "x", 3]):
        with pytest.raises(InvalidRequest):
            parse_request(value)


def test_params_and_search_need_the_type_they_are_of() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request({"params": {"C": 1}, "search": {"params": {"tol": [1]}}})
    assert {problem.pointer for problem in caught.value.problems} == {"/params", "/search"}


def test_class_weight_of_a_classifier_that_takes_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="GaussianNB"):
        parse_request({"model_type": "GaussianNB", "class_weight": "balanced"})


def test_form_is_read_as_the_same_request_in_json() -> None:
    form = {
        "name": "1",
        "model_type": "SVC",
        "params": '{"C": 2}',
        "target": "42",
        "test_size": "0.5",
        "seed": "3",
        "cv": "",
        "search": '{"params": {"gamma": [0.1]}}',
        "class_weight": "balanced",
        "use": "false",
        "wait": "1.5",
        "file": "…",
    }
    assert parse_form(form) == TrainRequest(
        name="1",
        model_type="SVC",
        params={"C": 2},
        target="42",
        test_size=0.5,
        seed=3,
        search=Search({"gamma": [0.1]}),
        class_weight="balanced",
        use=False,
        wait=1.5,
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("seed", "1.0"),
        ("seed", "x"),
        ("test_size", "NaN"),
        ("params", "{"),
        ("use", "yes"),
        ("q", "1"),
    ],
)
def test_form_with_a_wrong_value_points_at_it(key: str, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_form({"model_type": "SVC", key: text})
    assert [problem.pointer for problem in caught.value.problems] == [f"/{key}"]


# What is known before a fit.


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
    assert "'rare' has" in reason(table, "/cv", search=Search({"C": [1, 2]}))


def test_classifier_that_splits_again_needs_two_rows_of_each_class() -> None:
    table = small(y=texts(["rare"] * 2 + ["a", "b"] * 29))
    name = "LogisticRegressionCV"
    assert "splits the rows again" in reason(table, "/target", model_type=name, test_size=0.5)
    enough = small(y=texts(["rare"] * 4 + ["a", "b"] * 28))
    assert trained(enough, model_type=name).pipeline["classify"].cv == 3


def test_weight_of_a_class_that_is_not_there_is_refused() -> None:
    assert "no class" in reason(small(), "/class_weight/maybe", class_weight={"maybe": 1.0})


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


def test_training_that_multiplies_its_cost_is_refused() -> None:
    keys = {
        "model_type": "RandomForestClassifier",
        "search": Search({"n_estimators": [2000], "max_depth": list(range(1, 51))}),
        "cv": 10,
    }
    assert "times what one training may take" in reason(small(50_000), "/params", **keys)


def test_more_neighbours_than_rows_are_refused() -> None:
    keys = {"model_type": "KNeighborsClassifier", "params": {"n_neighbors": 49}}
    assert "48" in reason(small(), "/params/n_neighbors", **keys)


def test_wide_data_is_refused() -> None:
    cells = {f"c{i}": numbers(np.arange(60.0)) for i in range(20_001)}
    assert "20,002 inputs" in reason(Table(small().columns | cells), "/dataset")


# What a fit gives.


def blocks(fitted: Fitted) -> dict[str, Any]:
    prepare = fitted.pipeline["prepare"]
    assert isinstance(prepare, ColumnTransformer)
    return {
        name: [type(step) for step in block] if isinstance(block, Pipeline) else "passthrough"
        for name, block, columns in prepare.transformers
        if columns
    }


def test_pipeline_has_a_block_for_each_kind_of_column() -> None:
    fitted = trained(mixed())
    assert [name for name, _ in fitted.pipeline.steps] == ["prepare", "classify"]
    assert blocks(fitted) == {
        "number": [StandardScaler],
        "number_missing": [SimpleImputer, StandardScaler],
        "boolean": "passthrough",
        "boolean_missing": [SimpleImputer],
        "text": [SimpleImputer, OneHotEncoder],
    }


def test_pipeline_of_trees_does_not_scale_and_of_counts_scales_to_a_range() -> None:
    assert blocks(trained(mixed(), model_type="RandomForestClassifier")) == {
        "number": "passthrough",
        "number_missing": [SimpleImputer],
        "boolean": "passthrough",
        "boolean_missing": [SimpleImputer],
        "text": [SimpleImputer, OneHotEncoder],
    }
    assert blocks(trained(small(), model_type="MultinomialNB")) == {"number": [MinMaxScaler]}


def test_pipeline_leaves_missing_numbers_to_the_classifier_that_takes_them() -> None:
    assert blocks(trained(mixed(), model_type="HistGradientBoostingClassifier")) == {
        "number": "passthrough",
        "number_missing": "passthrough",
        "boolean": "passthrough",
        "boolean_missing": "passthrough",
        "text": [SimpleImputer, OneHotEncoder],
    }


def test_split_is_stratified_disjoint_and_complete() -> None:
    planned = plan(small(100, y=texts(["a"] * 80 + ["b"] * 20)), request(test_size=0.25))
    assert sorted([*planned.train, *planned.test]) == list(range(100))
    assert len(planned.test) == 25
    assert np.bincount(planned.codes[planned.test]).tolist() == [20, 5]
    assert plan(small(), request(seed=1)).test.tolist() != plan(small(), request()).test.tolist()


def test_schema_tells_what_training_saw() -> None:
    table = mixed()
    fitted = trained(table, unknown_categories="ignore")
    by_name = {feature.name: feature for feature in fitted.schema.features}
    assert list(by_name) == ["x", "gaps", "flag", "unsure", "word", "other"]
    assert [name for name, f in by_name.items() if f.nullable] == ["gaps", "unsure", "word"]
    assert by_name["word"].categories == ("a", "b", "c")
    assert by_name["word"].categories[by_name["word"].missing_code] == "a"
    assert (by_name["other"].missing_code, by_name["other"].example) == (-1, "p q")
    assert by_name["flag"].example is True
    seen = by_name["x"].seen
    assert seen is not None
    assert isinstance(by_name["x"].example, float)
    assert seen[0] <= by_name["x"].example <= seen[1]
    assert fitted.schema.classes == ("no", "yes")
    assert (fitted.schema.target, fitted.schema.unknown_categories) == ("y", "ignore")
    assert contract.decode(contract.encode(fitted.schema)) == fitted.schema


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (numbers([10, 9, -1] * 20), (-1, 9, 10)),
        (Column("boolean", np.array([1.0, 0.0] * 30)), (False, True)),
        (texts(["b", "a", "é", "B"] * 15), ("B", "a", "b", "é")),
    ],
)
def test_labels_keep_their_type_and_scikit_learns_order(
    target: Column, classes: tuple[Any, ...]
) -> None:
    fitted = trained(small(y=target))
    assert fitted.schema.classes == classes
    assert [type(label) for label in fitted.schema.classes] == [type(c) for c in classes]
    assert fitted.pipeline.classes_.tolist() == list(classes)


def test_matrix_holds_what_the_pipeline_would_see() -> None:
    table = mixed()
    fitted = trained(table)
    names = [feature.name for feature in fitted.schema.features]
    prepared = Preparation.of(fitted.pipeline, names).apply(fitted.X)
    expected = fitted.pipeline[:-1].transform(table.to_frame(names))
    assert prepared.tolist() == expected.tolist()
    assert fitted.X.dtype == np.float64


def test_category_that_training_did_not_see_is_coded_as_unknown() -> None:
    fitted = trained(small(word=texts(["a", "b"] * 30)))
    other = Table({"x": numbers([1.0, 2.0]), "word": texts(["b", "zebra"])})
    assert encode(other, fitted.schema)[:, 1].tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4.3, 5.8, 7.9], 5.8),
        ([1, 2, 3, 4], 2.0),
        ([0.123456789, 0.123456788], 0.1234567885),
        ([1e-9, 2.3456e-9, 3e-9], 2.35e-9),
        ([1700000000.123, 1700000500.4, 1700000900.9], 1700000500.0),
        ([5.123456], 5.123456),
    ],
)
def test_example_is_the_median_in_few_digits(values: list[float], expected: float) -> None:
    found = typical(np.array(values, dtype=float))
    assert found == pytest.approx(expected, rel=1e-9)
    assert min(values) <= found <= max(values)


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_metrics_are_scikit_learns(name: str) -> None:
    table, target = built_in(name)
    fitted = trained(table, target=target, model_type="GaussianNB", test_size=0.5)
    truth, guess = fitted.codes[fitted.test], fitted.predicted[fitted.test]
    given = fitted.held_out
    assert given is not None
    many = given.shape[1] > 2
    expected = {
        "accuracy": metrics.accuracy_score(truth, guess),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess),
        "f1": metrics.f1_score(truth, guess, average="macro"),
        "log_loss": metrics.log_loss(truth, given),
        "roc_auc": metrics.roc_auc_score(
            truth, given if many else given[:, 1], multi_class="ovr" if many else "raise"
        ),
        "train_accuracy": metrics.accuracy_score(
            fitted.codes[fitted.train], fitted.predicted[fitted.train]
        ),
    }
    assert dict(fitted.metrics) == pytest.approx(expected, rel=1e-12)
    assert fitted.confusion.tolist() == metrics.confusion_matrix(truth, guess).tolist()
    table_of = metrics.classification_report(truth, guess, output_dict=True)
    for k, line in enumerate(fitted.report):
        shown = [line.precision, line.recall, line.f1, line.support]
        keys = ("precision", "recall", "f1-score", "support")
        assert shown == pytest.approx([table_of[str(k)][key] for key in keys])


def test_metrics_that_are_not_finite_are_left_out_and_absent_classes_noted() -> None:
    table = small(80, y=texts(["rare"] * 2 + ["a", "b"] * 39))
    fitted = trained(table, test_size=0.1)
    assert "roc_auc" not in fitted.metrics
    assert all(np.isfinite(value) for value in fitted.metrics.values())
    assert len(fitted.notes) == 1
    assert "'rare'" in fitted.notes[0]


def test_fit_that_does_not_converge_is_noted_and_no_warning_escapes() -> None:
    fitted = trained(small(), params={"max_iter": 1})
    assert fitted.notes == [
        "The fit did not converge; more iterations (max_iter) or other scales may help."
    ]


def test_what_only_the_fit_finds_is_unusable_data_with_the_reason() -> None:
    planned = plan(small(), request(params={"l1_ratio": 0.5}))
    with pytest.raises(UnusableData, match="elasticnet") as caught:
        fit(planned)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("params", [{"shrinkage": "auto"}, {"n_components": 9}])
def test_settings_that_do_not_go_together_are_unusable_whatever_they_raise(
    params: dict[str, Any],
) -> None:
    with pytest.raises(UnusableData, match="cannot fit"):
        trained(small(), model_type="LinearDiscriminantAnalysis", params=params)


def test_cross_validation_is_of_the_training_part_and_scikit_learns() -> None:
    planned = plan(mixed(), request(cv=4, seed=3))
    fitted = fit(planned)
    frame = planned.table.to_frame(planned.features).iloc[planned.train]
    folds = StratifiedKFold(4, shuffle=True, random_state=3)
    grid = GridSearchCV(fitted.pipeline, {}, cv=folds).fit(frame, planned.y[planned.train])
    assert fitted.metrics["cv_accuracy_mean"] == pytest.approx(grid.best_score_)
    assert fitted.metrics["cv_accuracy_std"] == pytest.approx(grid.cv_results_["std_test_score"][0])


def test_search_finds_what_scikit_learns_search_finds() -> None:
    lists = {"C": [1e-4, 1e-2, 1.0, 100.0]}
    planned = plan(mixed(), request(search=Search(lists), cv=3))
    fitted = fit(planned)
    frame = planned.table.to_frame(planned.features).iloc[planned.train]
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    grid = GridSearchCV(fitted.pipeline, {"classify__C": lists["C"]}, cv=folds)
    grid.fit(frame, planned.y[planned.train])
    assert fitted.params == {"C": grid.best_params_["classify__C"]}
    assert fitted.params["C"] == fitted.pipeline["classify"].C


def test_search_at_random_tries_as_many_as_asked_and_keeps_the_other_params() -> None:
    seen: list[tuple[str, float]] = []
    asked = Search({"C": [0.1, 1.0, 10.0], "tol": [1e-4, 1e-3]}, n_iter=2)
    planned = plan(small(), request(search=asked, params={"max_iter": 500}))
    fitted = fit(planned, lambda stage, share: seen.append((stage, share)))
    assert set(fitted.params) == {"C", "tol", "max_iter"}
    assert len([stage for stage, _ in seen if stage == "search"]) == 1 + 2 * 5


def test_search_passes_over_candidates_that_cannot_be_fitted() -> None:
    fitted = trained(small(), search=Search({"solver": ["lbfgs", "saga"], "l1_ratio": [0.5]}))
    assert fitted.params["solver"] == "saga"
    assert any("cannot be fitted" in note for note in fitted.notes)
    with pytest.raises(UnusableData):
        trained(small(), search=Search({"l1_ratio": [0.5]}))


def test_progress_goes_forward_to_the_end() -> None:
    seen: list[tuple[str, float]] = []
    keys: dict[str, Any] = {"search": Search({"C": [1.0, 2.0]}), "cv": 3, "refit": True}
    fitted = fit(plan(small(), request(**keys)), lambda stage, share: seen.append((stage, share)))
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    stages = ["search", "cross-validation", "fit", "evaluate", "refit"]
    assert list(dict.fromkeys(stage for stage, _ in seen)) == [*stages, "done"]
    assert list(fitted.seconds) == stages


def test_refit_measures_the_first_fit_and_gives_the_second() -> None:
    table = mixed()
    once, twice = trained(table), trained(table, refit=True)
    assert once.metrics == twice.metrics
    assert (once.pipeline["classify"].coef_ != twice.pipeline["classify"].coef_).any()
    frame = table.to_frame([feature.name for feature in twice.schema.features])
    assert (twice.pipeline.predict_proba(frame) == twice.probabilities).all()
    assert (twice.held_out != twice.probabilities[twice.test]).any()  # type: ignore[index]


def test_slow_classifiers_predict_the_test_rows_and_a_sample() -> None:
    fitted = trained(small(3000), model_type="KNeighborsClassifier")
    assert set(fitted.test) <= set(fitted.checked)
    assert len(fitted.checked) == len(fitted.predicted) == 600 + 500
    assert fitted.metrics["accuracy"] == 1.0


def test_fit_is_the_same_whatever_was_fitted_before() -> None:
    planned: Plan = plan(mixed(), request(model_type="RandomForestClassifier", seed=4))
    first, second = fit(planned), fit(planned)
    assert first.probabilities is not None
    assert second.probabilities is not None
    assert (first.probabilities == second.probabilities).all()


def test_frame_that_is_fitted_is_of_floats_and_objects() -> None:
    frame = mixed().to_frame(["x", "gaps", "flag", "word"])
    kinds = [frame[name].dtype for name in frame]
    assert kinds == [np.dtype(float)] * 3 + [np.dtype(object)]
    assert isinstance(frame, pd.DataFrame)
