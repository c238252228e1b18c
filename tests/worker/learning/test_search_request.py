"""The search of a request: what is filled in, and where each wrong one points."""

from typing import Any

import pytest

from service.common.errors import InvalidRequest
from service.schema.search import DEFAULT_TYPES, EXAMPLES
from service.schema.train_request import TrainRequest
from service.worker.data.table import Table
from service.worker.learning.plan import plan
from service.worker.learning.request import parse_form, parse_request
from service.worker.learning.search_request import metric_of, spaces_of
from service.worker.learning.spaces import Choices, Span
from tests.support.fitting import numbers, reason, small

SVC = {"model_type": "SVC"}


def wrong(body: dict[str, Any], most_seconds: float | None = None) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(body, most_seconds=most_seconds)
    return {problem.pointer: problem.message for problem in caught.value.problems}


def parsed(search: dict[str, Any], **keys: Any) -> TrainRequest:
    return parse_request({"search": search, **keys})


def test_an_empty_search_has_the_defaults_and_a_few_good_classifiers() -> None:
    request = parsed({})

    assert request.search is not None
    assert request.type_names == DEFAULT_TYPES
    assert (request.search.candidates, request.search_folds) == (30, 5)
    assert metric_of(request) == "log_loss"
    assert all(spaces_of(request, 100, 5).values())


def test_every_key_is_taken() -> None:
    search = {
        "space": {"C": {"low": 0.01, "high": 100, "log": True}, "kernel": ["rbf", "poly"]},
        "trials": 50,
        "seconds": 300,
        "metric": "f1",
        "folds": 3,
        "parallel": 2,
        "stop_after": 15,
        "seed": 7,
    }

    request = parsed(search, model_type="SVC")

    assert spaces_of(request, 100, 5) == {
        "SVC": {"C": Span(0.01, 100, True), "kernel": Choices(("rbf", "poly"))}
    }
    assert metric_of(request) == "f1"
    again = TrainRequest.model_validate_json(request.model_dump_json())
    assert again == request


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_of_the_document_is_a_search(example: dict[str, Any]) -> None:
    assert spaces_of(parsed(example), 100, 5)


@pytest.mark.parametrize(
    "search",
    [
        {"model_types": ["SVC", "GaussianNB"], "space": {"SVC": {"C": [1, 2]}}},
        {"model_types": {"SVC": {"C": [1, 2]}, "GaussianNB": "default"}},
        {"space": {"SVC": {"C": [1, 2]}, "GaussianNB": "default"}},
    ],
)
def test_several_classifiers_have_spaces_of_their_own_in_either_spelling(
    search: dict[str, Any],
) -> None:
    spaces = spaces_of(parsed(search), 100, 5)

    assert spaces["SVC"] == {"C": Choices((1, 2))}
    assert list(spaces["GaussianNB"]) == ["var_smoothing"]


def test_what_the_request_fixes_is_not_searched() -> None:
    request = parsed({}, model_type="SVC", params={"C": 2.0})

    assert set(spaces_of(request, 100, 5)["SVC"]) == {"gamma", "kernel"}


def test_bounds_are_whole_numbers_where_the_parameter_is() -> None:
    space = {
        "min_samples_leaf": {"low": 1, "high": 9},
        "max_features": {"low": 0.1, "high": 1.0},
        "ccp_alpha": {"low": 0, "high": 1},
    }

    read = spaces_of(parsed({"space": space}, model_type="DecisionTreeClassifier"), 9, 9)

    assert {name: one.whole for name, one in read["DecisionTreeClassifier"].items()} == {  # type: ignore[union-attr]
        "min_samples_leaf": True,
        "max_features": False,
        "ccp_alpha": False,
    }


@pytest.mark.parametrize(
    ("types", "metric"),
    [
        (["LogisticRegression"], "log_loss"),
        (["LogisticRegression", "SVC"], "balanced_accuracy"),
        ({"SGDClassifier": {"loss": ["log_loss", "modified_huber"]}}, "log_loss"),
        ({"SGDClassifier": {"loss": ["log_loss", "hinge"]}}, "balanced_accuracy"),
        ({"NearestCentroid": {"metric": ["manhattan"]}}, "balanced_accuracy"),
    ],
)
def test_the_metric_is_log_loss_where_all_have_probabilities(types: Any, metric: str) -> None:
    assert metric_of(parsed({"model_types": types})) == metric


def span(low: object, high: object, **more: object) -> dict[str, Any]:
    return {"space": {"C": {"low": low, "high": high, **more}}}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    (span(0, 1), "/search/space/C/low", "a number more than 0"),
    (span(1, 1e10), "/search/space/C/high", "to 1e+09"),
    (span(1, True), "/search/space/C/high", "must be a number"),
    (span("1", 2), "/search/space/C/low", "must be a number"),
    (span(2, 1), "/search/space/C/high", 'more than "low"'),
    (span(1, 1), "/search/space/C/high", 'more than "low"'),
    (span(1, 2, log=1), "/search/space/C/log", "true or false"),
    (span(1, 2, logs=True), "/search/space/C/logs", "did you mean 'log'"),
    ({"space": {"C": {"low": 1}}}, "/search/space/C/high", "is missing"),
    ({"space": {"C": 1}}, "/search/space/C", "must be an array of values"),
    ({"space": {"C": []}}, "/search/space/C", "1 to 100 values"),
    ({"space": {"C": [1, -1]}}, "/search/space/C/1", "must be a number"),
    ({"space": {"D": [1]}}, "/search/space/D", "is not a parameter"),
    ({"space": {"kernel": {"low": 1, "high": 2}}}, "/search/space/kernel", "is no number"),
    ({"space": {"coef0": {"low": -1, "high": 1, "log": True}}}, "/search/space/coef0/low", "0"),
    ({"space": {"tol": [0.1]}}, "/search/space/tol", 'is in "params" too'),
    ({"space": {}}, "/search/space", "not empty"),
    ({"space": "all"}, "/search/space", '"default"'),
    ({"space": ["C"]}, "/search/space", '"default"'),
    ({"trials": 0}, "/search/trials", "greater than"),
    ({"trials": 1001}, "/search/trials", "less than"),
    ({"trials": 3.0}, "/search/trials", "integer"),
    ({"seconds": 0}, "/search/seconds", "greater than 0"),
    ({"seconds": 601}, "/search/seconds", "at most 600, the seconds that a training may take"),
    ({"metric": "mse"}, "/search/metric", "'log_loss'"),
    ({"metric": "log_loss"}, "/search/metric", "SVC"),
    ({"metric": "roc_auc"}, "/search/metric", "SVC"),
    ({"folds": 1}, "/search/folds", "greater than"),
    ({"parallel": 17}, "/search/parallel", "less than"),
    ({"stop_after": 0}, "/search/stop_after", "greater than"),
    ({"seed": -1}, "/search/seed", "greater than"),
    ({"n_iter": 2}, "/search/n_iter", 'needs "params"'),
    ({"params": {"C": [1]}, "trials": 2}, "/search/params", "trials"),
    ({"model_types": ["GaussianNB"]}, "/search/model_types", 'beside "model_type"'),
]


@pytest.mark.parametrize(("search", "pointer", "said"), WRONG)
def test_a_wrong_search_points_into_it(search: dict[str, Any], pointer: str, said: str) -> None:
    body = {**SVC, "params": {"tol": 1e-2}, "search": search}

    problems = wrong(body, most_seconds=600)

    assert list(problems) == [pointer]
    assert said in problems[pointer]


WRONG_TYPES: list[tuple[dict[str, Any], str, str]] = [
    ({"model_types": []}, "/search/model_types", "1 to 32"),
    ({"model_types": "SVC"}, "/search/model_types", "1 to 32"),
    ({"model_types": ["SVC", 3]}, "/search/model_types", "names"),
    ({"model_types": ["SCV"]}, "/search/model_types/0", "did you mean 'SVC'"),
    ({"model_types": ["SVC", "SVC"]}, "/search/model_types", "more than once"),
    ({"model_types": {"SCV": "default"}}, "/search/model_types/SCV", "did you mean 'SVC'"),
    ({"model_types": {"SVC": {"C": [-1]}}}, "/search/model_types/SVC/C/0", "must be a number"),
    ({"model_types": {"SVC": []}}, "/search/model_types/SVC", '"default"'),
    (
        {"model_types": {"SVC": "default"}, "space": "default"},
        "/search/space",
        'beside the spaces of "model_types"',
    ),
    (
        {"model_types": ["SVC", "GaussianNB"], "space": {"C": [1]}},
        "/search/space/C",
        "is not one of the search's model_types",
    ),
    ({"space": {"C": [1]}}, "/search/space", '"model_types"'),
]


@pytest.mark.parametrize(("search", "pointer", "said"), WRONG_TYPES)
def test_wrong_classifiers_point_into_the_search(
    search: dict[str, Any], pointer: str, said: str
) -> None:
    problems = wrong({"search": search})

    assert list(problems) == [pointer]
    assert said in problems[pointer]


def test_parameters_and_weights_need_classifiers_that_take_them() -> None:
    search = {"model_types": ["GaussianNB", "SVC"]}

    assert 'needs "model_type"' in wrong({"search": search, "params": {"C": 1}})["/params"]
    body = {"search": search, "class_weight": "balanced"}
    assert "GaussianNB" in wrong(body)["/class_weight"]


def test_a_search_is_the_same_in_a_form() -> None:
    form = {"model_type": "SVC", "search": '{"space": {"C": {"low": 1, "high": 2}}, "trials": 4}'}

    assert parse_form(form) == parsed(
        {"space": {"C": {"low": 1, "high": 2}}, "trials": 4}, model_type="SVC"
    )


def searching(search: dict[str, Any], **keys: Any) -> dict[str, Any]:
    request = parsed(search, **keys)
    return {"model_type": request.model_type, "search": request.search}


def test_a_search_is_refused_where_one_trial_would_take_too_long_and_not_for_their_number() -> None:
    rows = small(40_000)
    heavy = {"n_estimators": {"low": 10, "high": 2000}}
    forest = {"model_type": "RandomForestClassifier"}

    message = reason(
        Table({**rows.columns, **{f"x{i}": numbers(range(40_000)) for i in range(60)}}),
        "/search",
        **searching({"space": heavy}, **forest),
    )

    assert message.startswith("6 fits of RandomForestClassifier")
    plenty = searching({"space": {"max_depth": {"low": 2, "high": 9}}, "trials": 1000}, **forest)
    keys = {"target": "y", **plenty}
    assert plan(rows, TrainRequest(**keys)).kind.name == "RandomForestClassifier"


def test_more_neighbours_or_folds_than_rows_are_refused_where_they_stand() -> None:
    neighbours = {"n_neighbors": {"low": 1, "high": 45}}
    near = {"model_type": "KNeighborsClassifier"}

    assert "at most" in reason(
        small(60), "/search/space/n_neighbors", **searching({"space": neighbours}, **near)
    )
    several = {"model_types": {"KNeighborsClassifier": neighbours, "GaussianNB": "default"}}
    pointer = "/search/model_types/KNeighborsClassifier/n_neighbors"
    assert "at most" in reason(small(60), pointer, **searching(several))
    assert "20 folds" in reason(small(20), "/search/folds", **searching({"folds": 20}, **near))


def test_a_classifier_that_takes_fewer_rows_is_refused_among_others() -> None:
    types = {"model_types": ["GaussianNB", "GaussianProcessClassifier"]}

    message = reason(small(3_000), "/dataset", **searching(types))

    assert "GaussianProcessClassifier takes 2,000 rows" in message
