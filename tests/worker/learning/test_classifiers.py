import inspect
import json
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import all_estimators

from service.common.errors import ModelTypeNotFound
from service.schema.train_request import TrainRequest
from service.worker.data.table import Column, Table, built_in
from service.worker.learning import classifiers
from service.worker.learning.classifiers import (
    NAMES,
    build,
    catalogue,
    model_type,
    validate,
)
from service.worker.learning.fitting import Fitted, fit
from service.worker.learning.hyperparameters import Range
from service.worker.learning.plan import plan


def texts(values: list[str | None]) -> Column:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return Column("text", column)


def mixed(rows: int = 300) -> Table:
    """Make rows of numbers, texts and booleans, with and without missing values."""
    random = np.random.default_rng(0)
    group = random.integers(0, 3, rows)
    numbers = random.normal(size=(rows, 2)) + group[:, None]
    gaps = random.normal(size=rows) + group
    gaps[random.random(rows) < 0.1] = np.nan
    flags = (random.random(rows) < 0.5).astype(float)
    unsure = np.where(random.random(rows) < 0.1, np.nan, flags)
    words = ["abc"[g] if random.random() < 0.8 else None for g in group]
    return Table(
        {
            "first": Column("number", numbers[:, 0]),
            "gaps": Column("number", gaps),
            "word": texts([*words]),
            "flag": Column("boolean", flags),
            "unsure": Column("boolean", unsure),
            "other": texts(["x" if g else "y z" for g in random.integers(0, 2, rows)]),
            "last": Column("number", numbers[:, 1]),
            "group": texts([("low", "middle", "high")[g] for g in group]),
        }
    )


TABLES = {"iris": (built_in("iris")[0], "target"), "mixed": (mixed(), "group")}


def trained(name: str, data: str, **more: Any) -> Fitted:
    table, target = TABLES[data]
    # The class covariances of one-hot columns are singular, and its error asks to regularise.
    params = {"reg_param": 0.1} if name == "QuadraticDiscriminantAnalysis" else {}
    return fit(plan(table, TrainRequest(model_type=name, target=target, params=params, **more)))


@pytest.mark.parametrize("data", TABLES)
@pytest.mark.parametrize("name", NAMES)
def test_every_classifier_fits_without_a_warning_and_beats_the_baseline(
    name: str, data: str
) -> None:
    fitted = trained(name, data)
    assert [note for note in fitted.notes if "converge" not in note] == []
    if name != "DummyClassifier":
        assert fitted.metrics["accuracy"] > 0.5
    assert ("log_loss" in fitted.metrics) == model_type(name).probabilities


@pytest.mark.parametrize("name", NAMES)
def test_every_classifier_predicts_in_one_batch_what_the_pipeline_predicts(name: str) -> None:
    fitted = trained(name, "mixed")
    table, _ = TABLES["mixed"]
    frame = table.to_frame([feature.name for feature in fitted.schema.features])
    labels = fitted.pipeline.predict(frame)
    classes = np.array(fitted.schema.classes)
    assert list(fitted.pipeline.classes_) == list(fitted.schema.classes)
    assert (classes[fitted.predicted] == labels).all()
    if fitted.probabilities is not None:
        assert (fitted.pipeline.predict_proba(frame) == fitted.probabilities).all()


def test_there_are_at_least_28_classifiers_and_scikit_learn_knows_each() -> None:
    known = dict(all_estimators(type_filter="classifier"))
    assert len(NAMES) >= 28
    assert [kind.name for kind in catalogue()] == list(NAMES)
    assert all(known[kind.name] is kind.estimator for kind in catalogue())


@pytest.mark.parametrize("name", NAMES)
def test_every_default_is_scikit_learns_and_is_valid(name: str) -> None:
    signature = inspect.signature(model_type(name).estimator).parameters
    for key, parameter in model_type(name).params.items():
        default = signature[key].default
        assert parameter.default == default
        assert parameter.accepts(list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize("name", NAMES)
def test_every_description_is_json_and_bounds_all_numbers(name: str) -> None:
    shown = json.loads(json.dumps(model_type(name).describe(), allow_nan=False))
    assert set(shown) == {"name", "summary", "probabilities", "params"}
    for parameter in shown["params"].values():
        assert "default" in parameter
        assert parameter["type"] in {"number", "integer", "boolean", "text", "array"}
        for part in (parameter, parameter.get("also"), parameter.get("items")):
            if part and part["type"] in {"number", "integer"}:
                assert part["minimum"] < part["maximum"]


def edges(one: Range) -> tuple[list[float], list[float]]:
    """Return the values just inside and just outside a range."""
    number = int if one.kind == "integer" else float
    ends = {"minimum": number(one.minimum), "maximum": number(one.maximum)}
    inside = [value for end, value in ends.items() if end not in one.exclusive]
    step = 1 if one.kind == "integer" else max(abs(one.maximum) * 1e-9, 1e-300)
    outside = [ends["minimum"] - step, ends["maximum"] + step]
    return inside, outside + [ends[end] for end in one.exclusive]


@pytest.mark.parametrize("name", NAMES)
def test_every_bound_is_kept_and_scikit_learn_agrees_within(name: str) -> None:
    kind = model_type(name)
    for key, parameter in kind.params.items():
        if parameter.most_items:
            continue
        valid: list[object] = [*parameter.choices, *([True, False] if parameter.boolean else [])]
        for one in parameter.ranges:
            inside, outside = edges(one)
            valid += inside
            if one.kind == "number" and one.holds(1) and parameter.accepts(1):
                valid.append(1)
            others = [other for other in parameter.ranges if other is not one]
            for value in outside:
                if not any(other.holds(value) for other in others):
                    assert not parameter.accepts(value), (key, value)
        for choice in valid:
            assert validate(name, {key: choice}) == []
            build(name, {key: choice})._validate_params()
        odds: list[object] = ["no such choice", [1], {}, float("nan"), float("inf"), 10**400]
        for odd in odds:
            assert not parameter.accepts(odd), (key, odd)
        if not parameter.boolean:
            assert not parameter.accepts(True)


@pytest.mark.parametrize("name", NAMES)
def test_no_classifier_offers_unbounded_cost_or_deprecated_params(name: str) -> None:
    kind = model_type(name)
    for key in ("n_estimators", "max_iter"):
        if key in kind.params:
            pointers = [p.pointer for p in validate(name, {key: 10**9})]
            assert pointers == [f"/params/{key}"]
    signature = inspect.signature(kind.estimator).parameters
    assert not any(signature[key].default in ("deprecated", "warn") for key in kind.params)


@pytest.mark.parametrize(
    ("name", "key", "most"),
    [
        ("RandomForestClassifier", "n_estimators", 2_000),
        ("RandomForestClassifier", "max_depth", 100),
        ("LogisticRegression", "max_iter", 100_000),
        ("GaussianProcessClassifier", "n_restarts_optimizer", 10),
        ("SVC", "degree", 10),
    ],
)
def test_the_most_expensive_params_have_the_services_own_bounds(
    name: str, key: str, most: int
) -> None:
    assert validate(name, {key: most}) == []
    assert validate(name, {key: most + 1}) != []


@pytest.mark.parametrize(
    "key",
    [
        *("verbose", "warm_start", "n_jobs", "estimator", "random_state", "class_weight"),
        *("oob_score", "copy_X", "penalty", "estimator__C"),
    ],
)
def test_parameters_that_are_the_services_own_are_refused(key: str) -> None:
    problems = validate("LogisticRegression", {key: 1})
    assert [problem.pointer for problem in problems] == [f"/params/{key}"]


def test_random_state_is_refused_with_the_word_to_use() -> None:
    assert '"seed"' in validate("SVC", {"random_state": -1})[0].message


def test_parameter_that_is_misspelt_is_refused_with_the_right_one() -> None:
    problem = validate("RandomForestClassifier", {"n_estimator": 5})[0]
    assert "did you mean 'n_estimators'" in problem.message


def test_parameter_names_are_escaped_and_clipped_in_pointers() -> None:
    pointers = [p.pointer for p in validate("SVC", {"a/b~c": 1, "x" * 500: 1})]
    assert pointers[0] == "/params/a~1b~0c"
    assert len(pointers[1]) <= len("/params/") + 64


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("SVC", {"C": "1"}),
        ("SVC", {"C": True}),
        ("SVC", {"kernel": "precomputed"}),
        ("RandomForestClassifier", {"n_estimators": 10.0}),
        ("MLPClassifier", {"hidden_layer_sizes": []}),
        ("MLPClassifier", {"hidden_layer_sizes": [10] * 6}),
        ("MLPClassifier", {"hidden_layer_sizes": [10, True]}),
        ("MLPClassifier", {"hidden_layer_sizes": [2_001]}),
        ("MLPClassifier", {"hidden_layer_sizes": 100}),
        ("MLPClassifier", {"n_iter_no_change": float("inf")}),
        ("RidgeClassifierCV", {"alphas": [0]}),
    ],
)
def test_values_of_another_kind_are_refused(name: str, params: dict[str, object]) -> None:
    assert [p.pointer for p in validate(name, params)] == [f"/params/{key}" for key in params]


def test_values_in_problems_are_clipped() -> None:
    message = validate("SVC", {"kernel": "k" * 5000, "C": 10**4000})
    assert all(len(problem.message) < 300 for problem in message)


def test_an_integer_for_a_param_that_is_a_count_or_a_share_is_a_count() -> None:
    assert validate("DecisionTreeClassifier", {"min_samples_split": 1.0}) == []
    assert validate("DecisionTreeClassifier", {"min_samples_split": 1}) != []
    assert build("DecisionTreeClassifier", {"max_features": 1}).max_features == 1
    shares = build("HistGradientBoostingClassifier", {"max_features": 1})
    shares._validate_params()


def test_integers_are_accepted_for_numbers_and_lists_become_tuples() -> None:
    assert validate("SVC", {"C": 2}) == []
    assert build("MLPClassifier", {"hidden_layer_sizes": [5, 4]}).hidden_layer_sizes == (5, 4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("RandomForrestClassifier", "did you mean 'RandomForestClassifier'"),
        ("sklearn.svm.SVC", "write the name alone: 'SVC'"),
        ("LinearRegression", "is not a classifier"),
        ("RandomForestRegressor", "is not a classifier"),
        ("PassiveAggressiveClassifier", "is not a model type"),
        ("os.system", "there are: AdaBoostClassifier"),
        ("", "is not a model type"),
        (None, "must be the name"),
        (["SVC"], "must be the name"),
    ],
)
def test_unknown_types_are_refused_with_the_choices(name: object, said: str) -> None:
    problems = validate(name, {})
    assert [problem.pointer for problem in problems] == ["/model_type"]
    assert said in problems[0].message


def test_params_that_are_no_object_are_refused() -> None:
    assert validate("SVC", [])[0].pointer == "/params"


def test_description_of_an_unknown_type_is_not_found() -> None:
    with pytest.raises(ModelTypeNotFound):
        model_type("Nope")


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_gives_the_same_classifier(name: str) -> None:
    first, second = trained(name, "iris", seed=7), trained(name, "iris", seed=7)
    assert (first.predicted == second.predicted).all()
    assert first.metrics == second.metrics


def test_seed_and_class_weight_reach_the_classifier() -> None:
    built = build("LogisticRegression", {}, seed=5, class_weight={"a": 2.0})
    assert (built.random_state, built.class_weight) == (5, {"a": 2.0})
    assert not model_type("GaussianNB").takes_seed


def test_nothing_is_built_with_more_than_one_thread() -> None:
    for name in NAMES:
        assert build(name, {}).get_params().get("n_jobs") in (None, 1)


def test_guard_against_warnings_sees_the_ones_that_scikit_learn_gives() -> None:
    """LogisticRegressionCV warns by default; `build` makes ours not warn."""
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    with pytest.warns(FutureWarning):
        model_type("LogisticRegressionCV").estimator().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        build("LogisticRegressionCV", {}).fit(X, y)


def test_names_are_sorted_and_types_say_what_they_are() -> None:
    assert list(NAMES) == sorted(NAMES)
    assert all(len(kind.summary) > 15 and kind.summary.endswith(".") for kind in catalogue())
    assert classifiers.model_type("MultinomialNB").scale == "minmax"
    assert classifiers.model_type("RandomForestClassifier").scale is None
