"""Training requests: what is accepted, and the errors for everything else."""

from typing import cast

import pytest

from service.common.errors import InvalidRequest
from service.schema.search import Search
from service.schema.train_request import TrainRequest
from service.worker.learning.request import parse_form, parse_request


def test_request_takes_every_key_and_distinguishes_omitted_ones() -> None:
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
    assert read.search == Search(params={"gamma": [0.1, "scale"]}, n_iter=1)
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
    "use": [0, 1, "yes", "true", "if better", ["if-better"]],
    "params": [[], "C=1"],
    "class_weight": ["even", {}, {"a": 0}, {"a": -1}, {"a": "1"}, 3],
    "search": [[], "default", {"params": []}, {"params": {}}],
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
        search=Search(params={"gamma": [0.1]}),
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


def test_the_wish_to_use_a_better_version_is_plain_text_in_a_form() -> None:
    assert parse_request({"use": "if-better"}).use == "if-better"
    assert parse_form({"use": "if-better"}).use == "if-better"
    assert parse_form({"use": '"if-better"'}).use == "if-better"


@pytest.mark.parametrize("key", ["name", "model_type", "target"])
def test_an_empty_text_is_not_the_same_as_nothing(key: str) -> None:
    for parse in (parse_request, parse_form):
        with pytest.raises(InvalidRequest) as caught:
            parse({"model_type": "SVC", key: ""})
        assert [problem.pointer for problem in caught.value.problems] == [f"/{key}"]
    assert parse_request({"model_type": "SVC", key: None}).model_type in ("SVC", None)


def test_a_search_of_more_combinations_than_can_be_numbered_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(
            {
                "model_type": "RandomForestClassifier",
                "search": {
                    "params": {
                        "n_estimators": list(range(1, 101)),
                        "max_depth": list(range(1, 101)),
                        "min_samples_leaf": list(range(1, 101)),
                        "max_leaf_nodes": list(range(2, 102)),
                        "min_samples_split": list(range(2, 102)),
                    },
                    "n_iter": 5,
                },
            }
        )

    assert [problem.pointer for problem in caught.value.problems] == ["/search/params"]
    assert "more than 1,000,000,000 combinations" in str(caught.value)


def test_unknown_names_are_reported_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(
            {
                "model_type": "GaussianNB",
                "params": {"smoothing": 1},
                "search": {"params": {"var_smoothing": [1e-9]}, "n_iterations": 3},
            }
        )

    by_pointer = {problem.pointer: problem.message for problem in caught.value.problems}
    assert "there are: var_smoothing" in by_pointer["/params/smoothing"]
    assert by_pointer["/search/n_iterations"].endswith("did you mean 'n_iter'?")
    assert not str(caught.value).endswith("?.")
