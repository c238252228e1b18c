"""Searches over HTTP: asked for in JSON or a form, followed, cancelled, and taken up later."""

import json
from typing import Any

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client
from tests.support.waiting import wait_until

KEYS = {"metric", "trials", "running", "failed", "pruned", "best", "leaderboard", "seconds_left"}
SPACE = {"max_depth": {"low": 1, "high": 8}, "min_samples_leaf": {"low": 1, "high": 9}}


def searched(client: Client, search: dict[str, Any], **keys: Any) -> Any:
    body = {"name": "searched", "dataset": "iris", "use": False, "search": search, **keys}
    reply = client.post("/train", json={"wait": 120, **body})
    assert reply.status_code == 201, reply.text
    return reply.json()


def test_a_search_trains_its_best_and_shows_what_it_tried(client: Client) -> None:
    result = searched(client, {"space": SPACE, "trials": 12}, model_type="DecisionTreeClassifier")

    search = result["search"]
    assert set(search) == KEYS
    assert (search["metric"], search["trials"], search["running"]) == ("log_loss", 12, 0)
    assert search["seconds_left"] == 0
    values = [one["value"] for one in search["leaderboard"]]
    assert values == sorted(values)
    assert len(values) == 12 - search["failed"] - search["pruned"]
    assert search["best"] == search["leaderboard"][0]
    assert set(search["best"]["params"]) == set(SPACE)
    version = client.get(f"/models/searched/versions/{result['version']}").json()
    assert version["model_type"] == result["model_type"] == "DecisionTreeClassifier"
    assert version["params"] == search["best"]["params"]
    assert client.get(f"/trainings/{result['id']}").json()["search"] == search


def test_a_search_over_several_classifiers_is_of_the_best_of_them(client: Client) -> None:
    search = {"model_types": ["DummyClassifier", "LogisticRegression"], "trials": 8}

    result = searched(client, search)

    assert result["model_type"] == "LogisticRegression"
    assert {one["model_type"] for one in result["search"]["leaderboard"]} >= {"DummyClassifier"}
    assert "LogisticRegression" in client.get("/models").text


def test_a_search_in_a_form_is_the_same_as_in_json(client: Client) -> None:
    search = {"space": SPACE, "trials": 6}
    fields = {
        "name": "formed",
        "dataset": "iris",
        "use": "false",
        "wait": "120",
        "model_type": "DecisionTreeClassifier",
        "search": json.dumps(search),
    }

    formed = client.post("/train", files={key: (None, text) for key, text in fields.items()})

    assert formed.status_code == 201, formed.text
    sent = searched(client, search, model_type="DecisionTreeClassifier")
    assert formed.json()["search"]["leaderboard"] == sent["search"]["leaderboard"]


def test_the_same_seed_gives_the_same_result_and_another_one_another(client: Client) -> None:
    def found(seed: int) -> Any:
        search = {"model_types": ["GaussianNB", "LogisticRegression"], "trials": 14, "seed": seed}
        return searched(client, search)["search"]

    assert found(1) == found(1)
    assert found(1)["leaderboard"] != found(2)["leaderboard"]


def test_the_next_training_without_a_type_takes_what_a_search_found(client: Client) -> None:
    search = {"model_types": ["DummyClassifier", "LogisticRegression"], "trials": 6}
    found = searched(client, search, use=True)

    again = client.train(name="again", dataset="iris", use=False)

    assert again["model_type"] == "LogisticRegression"
    shown = client.get(f"/models/again/versions/{again['version']}").json()
    assert shown["params"] == found["search"]["best"]["params"]


def test_the_lists_of_a_search_show_the_same_block(client: Client) -> None:
    lists = {"params": {"max_depth": [1, 5], "criterion": ["gini", "entropy"]}}

    result = searched(client, lists, model_type="DecisionTreeClassifier", cv=3)

    search = result["search"]
    assert set(search) == KEYS
    assert (search["metric"], search["trials"], len(search["leaderboard"])) == ("accuracy", 4, 4)
    assert search["best"]["params"]["max_depth"] == 5


def test_a_search_is_followed_and_cancelled(client: Client, registry: FakeRegistry) -> None:
    body = {
        "name": "slow",
        "dataset": "digits",
        "use": False,
        "wait": 0,
        "search": {"model_types": ["GradientBoostingClassifier"], "trials": 500, "parallel": 2},
    }
    training = client.post("/train", json=body).json()
    path = f"/trainings/{training['id']}"
    assert training["search"]["trials"] == 0
    wait_until(lambda: client.get(path).json()["search"]["running"] == 2, seconds=60)
    assert client.get(path).json()["search"]["seconds_left"] > 0

    cancelled = client.delete(path).json()

    assert (cancelled["state"], cancelled["search"]["running"]) == ("cancelled", 0)
    assert cancelled["search"]["trials"] >= 2
    trials = [trial for parent, trial in registry.trials.values() if parent == training["id"]]
    assert trials
    assert all(trial.state != "running" for trial in trials)


@pytest.mark.parametrize(
    ("search", "pointer", "said"),
    [
        ({"seconds": 100_000}, "/search/seconds", "the seconds that a training may take"),
        ({"model_types": ["SVC"], "metric": "log_loss"}, "/search/metric", "SVC"),
        ({"space": {"C": {"low": 0.1, "high": 1}}}, "/search/space", "model_types"),
        ({"params": {"C": [1]}, "trials": 3}, "/search/params", "trials"),
        ({"trial": 3}, "/search/trial", "did you mean 'trials'"),
    ],
)
def test_a_wrong_search_is_refused_where_it_is_wrong(
    client: Client, search: dict[str, Any], pointer: str, said: str
) -> None:
    reply = client.post("/train", json={"dataset": "iris", "search": search})

    assert reply.status_code == 400
    assert pointer in {error["pointer"] for error in reply.json()["errors"]}
    assert said in reply.text


def test_a_search_that_no_trial_ends_in_time_fails_with_that_sentence(client: Client) -> None:
    search = {"model_types": ["GradientBoostingClassifier"], "seconds": 0.05}

    reply = client.post("/train", json={"dataset": "digits", "use": False, "search": search})

    assert reply.status_code == 400
    assert "no trial ended within its 0.05 s" in reply.json()["detail"]
