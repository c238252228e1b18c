import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from service.schema.contract import LARGEST
from service.worker.sklearn_models.array_preprocessing import LARGEST_FLOAT32, Preparation
from tests.support.pipelines import (
    DataSet,
    breast_cancer,
    fit,
    hard_rows,
    iris,
    magnitudes,
    matrix,
    mixed,
)

SETS = {data.name: data for data in (iris(), breast_cancer(), mixed(), magnitudes())}


def prepared(data: DataSet, scale: str, impute: bool = True) -> tuple[Pipeline, Preparation]:
    pipeline = fit(data, HistGradientBoostingClassifier(max_iter=1), scale=scale, impute=impute)
    return pipeline, Preparation.from_pipeline(pipeline, data.names)


def bits(matrix: Any) -> Any:
    return np.ascontiguousarray(matrix, np.float64).view(np.int64)


@pytest.mark.parametrize("impute", [True, False], ids=["imputed", "missing"])
@pytest.mark.parametrize("scale", ["none", "standard", "range"])
@pytest.mark.parametrize("name", SETS)
def test_every_bit_is_as_the_fitted_transformer_gives_it(
    name: str, scale: str, impute: bool
) -> None:
    data = SETS[name]
    pipeline, preparation = prepared(data, scale, impute)
    rows = hard_rows(data, pipeline, 1000)
    expected = pipeline["prepare"].transform(rows)
    assert np.isnan(expected).any() == (not impute and name in ("mixed", "magnitudes"))
    assert (bits(preparation.apply(matrix(pipeline, rows))) == bits(expected)).all()


def test_one_row_is_prepared_as_it_is_among_others() -> None:
    data = SETS["mixed"]
    pipeline, preparation = prepared(data, "standard")
    X = matrix(pipeline, hard_rows(data, pipeline, 50))
    together = preparation.apply(X)
    for place in range(len(X)):
        assert (bits(preparation.apply(X[place : place + 1])[0]) == bits(together[place])).all()


PIPELINES = {scale: prepared(SETS["magnitudes"], scale) for scale in ("none", "standard", "range")}


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(PIPELINES)),
    st.lists(st.floats(-1e300, 1e300) | st.just(np.nan), min_size=9, max_size=9),
)
def test_any_numbers_are_prepared_bit_for_bit(scale: str, values: list[float]) -> None:
    data = SETS["magnitudes"]
    pipeline, preparation = PIPELINES[scale]
    X = np.array([values])
    with np.errstate(over="ignore"):
        expected = pipeline["prepare"].transform(pd.DataFrame(X, columns=data.frame.columns))
        found = preparation.apply(X)
    # A NaN may have any bits, so it is compared as NaN.
    np.testing.assert_array_equal(found, expected)
    assert (np.signbit(found) == np.signbit(expected))[~np.isnan(expected)].all()


def test_a_scaler_that_keeps_the_mean_does_so_in_arrays_too() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 4.0, 8.0]})
    scale = ColumnTransformer([("number", StandardScaler(with_mean=False), ["x"])])
    pipeline = Pipeline([("prepare", scale), ("classify", DecisionTreeClassifier())])
    pipeline.fit(frame, [0, 0, 1, 1])
    preparation = Preparation.from_pipeline(pipeline, ["x"])
    expected = pipeline["prepare"].transform(frame)
    assert (bits(preparation.apply(frame.to_numpy())) == bits(expected)).all()


def test_an_unknown_category_is_in_no_column() -> None:
    pipeline, preparation = prepared(SETS["mixed"], "none")
    X = matrix(pipeline, SETS["mixed"].frame[:1])
    X[0, [0, 4]] = -1
    assert preparation.apply(X)[0, -10:].tolist() == [0.0] * 10


def test_a_passthrough_leaves_the_matrix_alone() -> None:
    data = SETS["iris"]
    steps = [("prepare", "passthrough"), ("classify", GaussianNB())]
    pipeline = Pipeline(steps).fit(data.frame, data.y)
    X = data.frame.to_numpy()
    assert Preparation.from_pipeline(pipeline, data.names).apply(X) is X


def test_a_constant_column_with_no_value_at_all_is_prepared() -> None:
    frame = SETS["iris"].frame.assign(empty=np.nan)
    data = DataSet("empty", frame, SETS["iris"].y)
    pipeline, preparation = prepared(data, "standard")
    expected = pipeline["prepare"].transform(frame)
    assert (bits(preparation.apply(frame.to_numpy())) == bits(expected)).all()


@pytest.mark.parametrize(
    ("transformer", "sentence"),
    [
        (PowerTransformer(), "not known here"),
        (OneHotEncoder(sparse_output=False), "ignore unknown"),
        (OneHotEncoder(handle_unknown="ignore", drop="first", sparse_output=False), "drops"),
        (Pipeline([("a", StandardScaler()), ("b", StandardScaler())]), "not known here"),
    ],
)
def test_preprocessing_that_is_not_known_is_refused(transformer: Any, sentence: str) -> None:
    data = SETS["iris"]
    prepare = ColumnTransformer([("number", transformer, data.names)], sparse_threshold=0)
    pipeline = Pipeline([("prepare", prepare), ("classify", GaussianNB(var_smoothing=1.0))])
    pipeline.fit(data.frame, data.y)
    with pytest.raises(ValueError, match=sentence):
        Preparation.from_pipeline(pipeline, data.names)


def test_a_column_that_is_no_feature_is_refused() -> None:
    pipeline, _ = prepared(SETS["iris"], "none")
    with pytest.raises(ValueError, match="'f3' is not among the features"):
        Preparation.from_pipeline(pipeline, ["f0", "f1", "f2"])


def test_steps_of_other_names_are_refused() -> None:
    pipeline = Pipeline([("classify", GaussianNB())])
    with pytest.raises(ValueError, match="has the steps"):
        Preparation.from_pipeline(pipeline, ["f0"])


@pytest.mark.parametrize(
    ("classifier", "largest"),
    [
        (RandomForestClassifier(2), LARGEST_FLOAT32),
        (GradientBoostingClassifier(n_estimators=1), LARGEST_FLOAT32),
        (BaggingClassifier(n_estimators=2), LARGEST_FLOAT32),
        (
            VotingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier())]),
            LARGEST_FLOAT32,
        ),
        (HistGradientBoostingClassifier(max_iter=1), LARGEST),
        (GaussianNB(), LARGEST),
    ],
)
def test_bounds_are_those_of_what_the_classifier_reads(classifier: Any, largest: float) -> None:
    data = SETS["iris"]
    pipeline = fit(data, classifier)
    preparation = Preparation.from_pipeline(pipeline, data.names)
    assert preparation.bounds(pipeline["classify"]) == [(-largest, largest)] * 4
    if largest == LARGEST_FLOAT32:
        row = data.frame[:1].copy()
        row.iloc[0, 0] = largest
        pipeline.predict(row)
        row.iloc[0, 0] = 3.5e38
        with np.errstate(over="ignore"), pytest.raises(ValueError, match="too large"):
            pipeline.predict(row)


@pytest.mark.parametrize("scale", ["standard", "range"])
@pytest.mark.parametrize("classifier", [LogisticRegression(), DecisionTreeClassifier()])
def test_the_next_number_beyond_a_bound_does_not_stay_finite(classifier: Any, scale: str) -> None:
    data = SETS["magnitudes"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = fit(data, classifier, scale=scale)
    preparation = Preparation.from_pipeline(pipeline, data.names)
    largest = LARGEST_FLOAT32 if isinstance(classifier, DecisionTreeClassifier) else LARGEST
    unlimited = preparation.scaling.unlimited()
    assert preparation.columns is not None
    bounds = np.array(preparation.bounds(pipeline["classify"]))[preparation.columns]
    for side, beyond in ((bounds[:, 0], -np.inf), (bounds[:, 1], np.inf)):
        with np.errstate(over="ignore"):
            assert (np.abs(unlimited.apply(side[None])) <= largest).all()
            next_number = np.nextafter(side, beyond)
            refused = ~(np.abs(unlimited.apply(next_number[None])) <= largest)[0]
        assert (refused | np.isinf(next_number)).all()
    assert (np.abs(bounds) < LARGEST).any()
