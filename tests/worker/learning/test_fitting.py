"""The results of a fit: the pipeline, the split, the schema and scikit-learn's metrics."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from service.common.errors import UnusableData
from service.schema import contract
from service.worker.data.table import Column, Table, built_in
from service.worker.learning.fitting import Fitted, fit
from service.worker.learning.plan import Plan, plan
from service.worker.learning.preprocessing import encode, typical
from service.worker.sklearn_models.array_preprocessing import Preparation
from tests.support.fitting import mixed, numbers, request, small, texts, trained


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
    prepared = Preparation.from_pipeline(fitted.pipeline, names).apply(fitted.X)
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
        shown = [line[key] for key in ("precision", "recall", "f1", "support")]
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


def test_progress_goes_forward_to_the_end() -> None:
    seen: list[tuple[str, float]] = []
    fitted = fit(
        plan(small(), request(cv=3, refit=True)), lambda stage, share: seen.append((stage, share))
    )
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    stages = ["cross-validation", "fit", "evaluate", "refit"]
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
