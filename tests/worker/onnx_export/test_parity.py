from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import Pipeline

from service.schema.contract import Feature
from service.worker.onnx_export.convert import convert
from service.worker.onnx_export.parity import Parity, check, made_up_rows
from tests.support.pipelines import (
    DataSet,
    fit,
    hard_rows,
    iris,
    magnitudes,
    matrix,
    mixed,
    with_other_weight,
)


def fitted(data: DataSet, classifier: Any) -> tuple[Pipeline, bytes]:
    pipeline = fit(data, classifier, scale="standard")
    return pipeline, convert(pipeline, data.names)


def test_a_changed_weight_is_found_by_its_labels() -> None:
    data = iris()
    pipeline, model = fitted(data, RidgeClassifier())
    X = matrix(pipeline, data.frame)
    assert check(model, pipeline, data.frame, X).agrees
    parity = check(with_other_weight(model, 1.0), pipeline, data.frame, X)
    assert parity.differing > 0
    assert not parity.agrees


def test_a_changed_weight_is_found_by_its_probabilities() -> None:
    data = iris()
    pipeline, model = fitted(data, LogisticRegression())
    X = matrix(pipeline, data.frame)
    parity = check(with_other_weight(model, 1e-5), pipeline, data.frame, X)
    assert (parity.differing, parity.exact) == (0, False)
    assert parity.largest_difference > 1e-6
    assert not parity.agrees


def test_a_forest_is_held_to_the_last_bit() -> None:
    data = iris()
    classifier = RandomForestClassifier(10, max_depth=2, random_state=0)
    pipeline, model = fitted(data, classifier)
    X = matrix(pipeline, data.frame)
    assert check(model, pipeline, data.frame, X) == Parity(150, 0, 0, 0.0, True)
    parity = check(with_other_weight(model, 1e-14), pipeline, data.frame, X)
    assert 0 < parity.largest_difference < 1e-12
    assert not parity.agrees


def test_rows_on_a_boundary_are_set_aside() -> None:
    data = DataSet("line", iris().frame[["f0", "f1"]], np.arange(150) % 2)
    steps = [("prepare", "passthrough"), ("classify", LogisticRegression())]
    pipeline = Pipeline(steps).fit(data.frame, data.y)
    pipeline["classify"].coef_ = np.array([[0.1, -0.3]])
    pipeline["classify"].intercept_ = np.array([0.0])
    model = convert(pipeline, data.names)
    # The decision there is of the order of 1e-17, in scikit-learn and, slightly moved, here.
    rows = data.frame.copy()
    rows.loc[:49, "f0"] = 3.0 * rows.loc[:49, "f1"]
    pipeline["classify"].intercept_ = np.array([1e-16])
    moved = convert(pipeline, data.names)
    pipeline["classify"].intercept_ = np.array([-1e-15])
    parity = check(moved, pipeline, rows, rows.to_numpy())
    assert parity.on_boundary > 0
    assert parity.agrees
    pipeline["classify"].intercept_ = np.array([-1e-9])
    assert check(model, pipeline, rows, rows.to_numpy()).differing > 0


def test_a_nan_on_one_side_only_does_not_pass() -> None:
    data = iris()
    pipeline, model = fitted(data, GaussianNB())
    X = matrix(pipeline, data.frame)
    rows = data.frame.copy()
    X[0, 0] = np.nan
    parity = check(model, pipeline, rows, X)
    assert parity.largest_difference == np.inf
    assert not parity.agrees


def test_rows_are_compared_in_parts() -> None:
    data = mixed()
    pipeline, model = fitted(data, LogisticRegression())
    rows = hard_rows(data, pipeline, 25_000)
    X = matrix(pipeline, rows)
    assert check(model, pipeline, rows, X).rows == 25_000
    labels = pipeline.predict(rows)
    X[-1] = X[int(np.argmax(labels != labels[-1]))]
    assert check(model, pipeline, rows, X).differing == 1


@pytest.mark.parametrize(
    ("classifier", "methods"),
    [
        (LogisticRegression(), {"predict_proba", "predict"}),
        # Its labels are those with the largest probabilities.
        (RandomForestClassifier(30), {"predict_proba"}),
    ],
)
def test_the_comparison_asks_each_part_of_the_pipeline_once_for_each_row(
    classifier: Any, methods: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = iris()
    pipeline, model = fitted(data, classifier)
    X = matrix(pipeline, data.frame)
    asked: dict[str, int] = {}

    def count(step: Any, method: str) -> None:
        answer = getattr(step, method)

        def counted(rows: Any) -> Any:
            asked[method] = asked.get(method, 0) + len(rows)
            return answer(rows)

        monkeypatch.setattr(step, method, counted, raising=False)

    count(pipeline["prepare"], "transform")
    count(pipeline["classify"], "predict_proba")
    count(pipeline["classify"], "predict")

    assert check(model, pipeline, data.frame, X).agrees
    assert asked == dict.fromkeys({"transform", *methods}, len(X))


@pytest.mark.parametrize("make", [iris, mixed, magnitudes])
def test_made_up_rows_are_valid_and_none_of_the_training_rows(make: Any) -> None:
    data = make()
    pipeline, _ = fitted(data, GaussianNB())
    X = matrix(pipeline, data.frame)
    made = made_up_rows(X, data.features())
    assert made.shape == (256, X.shape[1])
    known = {tuple(row) for row in X}
    assert not any(tuple(row) in known for row in made)
    for place, feature in enumerate(data.features()):
        column, of_training = made[:, place], X[:, place]
        assert np.isnan(column).any() == np.isnan(of_training).any()
        assert np.nanmin(column) >= np.nanmin(of_training)
        assert np.nanmax(column) <= np.nanmax(of_training)
        if feature.type != "number":
            assert set(column[~np.isnan(column)]) <= set(of_training)


def test_made_up_numbers_are_new_and_within_their_bounds() -> None:
    X = np.linspace(0.0, 1.0, 50)[:, None]
    made = made_up_rows(X, [Feature("a", "number", low=0.2, high=0.8)])
    assert made.min() >= 0.2
    assert made.max() <= 0.8
    inside = made[(made > 0.2) & (made < 0.8)]
    assert len(inside) > 100
    assert not np.isin(inside, X).any()


def test_made_up_rows_are_the_same_for_one_seed() -> None:
    X = iris().frame.to_numpy()
    features = iris().features()
    assert (made_up_rows(X, features, seed=1) == made_up_rows(X, features, seed=1)).all()
    assert (made_up_rows(X, features, seed=1) != made_up_rows(X, features, seed=2)).any()


def test_missing_values_stay_in_proportion() -> None:
    X = np.where(np.arange(1000) % 4 == 0, np.nan, np.arange(1000.0))[:, None]
    made = made_up_rows(X, [Feature("a", "number", nullable=True)], count=2000)
    assert 0.2 < np.isnan(made).mean() < 0.3


def test_made_up_counts_suit_a_classifier_that_refuses_negative_numbers() -> None:
    X = np.random.default_rng(0).poisson(1.0, (100, 3)).astype(float)
    made = made_up_rows(X, [Feature(name, "number") for name in "abc"])
    MultinomialNB().fit(X, X[:, 0] > 0).predict(made)
    assert made.min() >= 0.0
