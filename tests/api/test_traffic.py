"""`/traffic`: a second version beside the one in use, in every way in which it answers."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.exposed import samples_of
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import wait_until

FLOWER = [5.1, 3.5, 1.4, 0.2]
SHADOW: dict[str, Any] = {"name": "iris", "version": 2, "mode": "shadow", "percent": 100}
SPLIT: dict[str, Any] = {**SHADOW, "mode": "split", "percent": 50, "key": "X-Customer"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    return FakeRegistry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, registry: FakeRegistry) -> Iterator[Client]:
    """A service with two versions of one model, and one of another contract."""
    folder: Path = tmp_path_factory.mktemp("data")
    with serve(settings_for(folder), registry) as client:
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        client.train(name="iris", model_type="GaussianNB", dataset="iris", use=False)
        client.train(name="wine", model_type="GaussianNB", dataset="wine", use=False)
        yield client


@pytest.fixture
def client(service: Client) -> Client:
    """The service with version 1 in use, and nothing beside it."""
    used = service.post("/use-model", json={"name": "iris", "version": 1})
    assert used.status_code == 200, used.text
    return service


def put(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    response = client.put("/traffic", json=body)
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def told(client: Client) -> dict[str, Any]:
    traffic: dict[str, Any] = client.get("/traffic").json()["traffic"]
    return traffic


def ask(client: Client, customer: str) -> int:
    """Return the version that answered a customer."""
    reply = client.predict({"instances": [FLOWER]}, **{"x-customer": customer})
    assert reply.json()["version"] == int(reply.headers["x-model-version"])
    return int(reply.headers["x-model-version"])


def test_without_a_second_version_there_is_none(client: Client) -> None:
    assert client.get("/traffic").json() == {"traffic": None}
    assert client.delete("/traffic").status_code == 404


def test_a_shadow_answers_again_what_clients_were_answered(client: Client) -> None:
    change = put(client, SHADOW)
    for _ in range(20):
        assert client.predict({"instances": [FLOWER] * 5}).headers["x-model-version"] == "1"

    wait_until(lambda: told(client)["rows"] == 100)

    found = told(client)
    assert (change["name"], change["version"]) == ("iris", 1)
    assert found["in_use"] == {"name": "iris", "version": 1, "epoch": change["epoch"]}
    assert (found["in_use_rows"], found["second_rows"]) == (100, 0)
    assert found["agreement"] == 1.0
    assert 0.9 < found["low"] < found["high"] == 1.0
    assert (found["errors"], found["shed"], found["missing"]) == (0, 0, [])
    assert found["latency"]["timed"] > 0


def test_a_split_answers_a_customer_always_the_same_way(client: Client) -> None:
    put(client, SPLIT)
    customers = [f"customer {n}" for n in range(200)]

    first = {name: ask(client, name) for name in customers}
    again = {name: ask(client, name) for name in customers}

    assert again == first
    assert 60 < sum(version == 2 for version in first.values()) < 140


def test_a_larger_share_leaves_customers_where_they_were(client: Client) -> None:
    customers = [f"customer {n}" for n in range(100)]
    put(client, {**SPLIT, "percent": 20})
    before = {name for name in customers if ask(client, name) == 2}

    put(client, {**SPLIT, "percent": 60})

    assert before < {name for name in customers if ask(client, name) == 2}


def test_a_request_without_the_header_is_answered_by_the_version_in_use(client: Client) -> None:
    put(client, {**SPLIT, "percent": 100})

    assert client.predict({"instances": [FLOWER]}).headers["x-model-version"] == "1"


def test_a_split_without_a_header_draws_each_request(client: Client) -> None:
    put(client, {**SPLIT, "key": None})

    versions = {
        client.predict({"instances": [FLOWER]}).headers["x-model-version"] for _ in range(64)
    }

    assert versions == {"1", "2"}


def test_every_protocol_is_split(client: Client) -> None:
    put(client, {**SPLIT, "percent": 100})
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": FLOWER}
    header = {"x-customer": "a"}

    replies = [
        client.post("/v2/models/iris/infer", json={"inputs": [tensor]}, headers=header),
        client.post("/v1/models/iris:predict", json={"instances": [FLOWER]}, headers=header),
        client.post("/invocations", json={"inputs": [FLOWER]}, headers=header),
    ]

    assert [reply.headers["x-model-version"] for reply in replies] == ["2", "2", "2"]


def test_a_version_that_is_named_answers_itself(client: Client) -> None:
    put(client, {**SPLIT, "percent": 100})

    for version in ("1", "2"):
        reply = client.post(
            f"/models/iris/versions/{version}/predict",
            json={"instances": [FLOWER]},
            headers={"x-customer": "a"},
        )
        assert reply.headers["x-model-version"] == version


def test_changes_that_expect_nothing_wait_for_each_other(client: Client) -> None:
    """Each makes a new epoch, which none of the others has named."""
    use = {"name": "iris", "version": 1}
    with ThreadPoolExecutor(2) as threads:
        used = [threads.submit(client.post, "/use-model", json=use) for _ in range(15)]
        beside = [threads.submit(client.put, "/traffic", json=SHADOW) for _ in range(15)]
        statuses = {one.result().status_code for one in used + beside}

    assert statuses == {200}


def test_deleting_it_leaves_the_version_in_use_alone(client: Client) -> None:
    before = put(client, {**SPLIT, "percent": 100})

    ended = client.delete("/traffic").json()

    assert ended["epoch"] > before["epoch"]
    assert (ended["traffic"], ended["ended"]["version"]) == (None, 2)
    assert ask(client, "a") == 1
    assert client.get("/traffic").json() == {"traffic": None}


def test_a_change_of_the_model_in_use_ends_it_and_says_so(client: Client) -> None:
    put(client, SHADOW)

    changed = client.post("/use-model", json={"name": "iris", "version": 2}).json()

    assert changed["ended_traffic"]["version"] == 2
    assert client.get("/traffic").json() == {"traffic": None}
    again = client.post("/use-model", json={"name": "iris", "version": 1}).json()
    assert "ended_traffic" not in again


def test_a_training_that_ends_it_says_so(client: Client) -> None:
    put(client, SHADOW)

    trained = client.train(name="iris", model_type="GaussianNB", dataset="iris", use=True)

    (note,) = trained["notes"]
    assert note["message"] == "It ended the traffic to version 2 of 'iris'."
    assert client.get("/traffic").json() == {"traffic": None}


def test_the_second_version_cannot_be_deleted(client: Client) -> None:
    put(client, SHADOW)

    refused = client.delete("/models/iris/versions/2")

    assert refused.status_code == 409
    assert "DELETE /traffic" in refused.json()["detail"]


def test_outcomes_of_either_version_are_answered_by_both(client: Client) -> None:
    put(client, {**SHADOW, "rules": {"rows": 1, "quality": "not worse"}})

    for version, label in ((1, "setosa"), (2, "setosa"), (2, "virginica")):
        body = {"version": version, "instances": [FLOWER] * 3, "labels": [label] * 3}
        assert client.post("/outcomes", json=body).status_code == 200

    outcomes = told(client)["outcomes"]
    assert outcomes["rows"] == 9
    assert (outcomes["only_in_use_right"], outcomes["only_second_right"]) == (0, 0)
    assert (outcomes["better"], outcomes["worse"], outcomes["not_worse"]) == (1, 1, 1.021)
    csv = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm),target\n"
    csv += "5.1,3.5,1.4,0.2,setosa\n"
    sent = client.post(
        "/outcomes?version=2", content=csv.encode(), headers={"content-type": "text/csv"}
    )
    assert sent.status_code == 200, sent.text
    assert told(client)["outcomes"]["rows"] == 10


def shown(client: Client) -> dict[str, float]:
    """Return the series of the second version that a scrape finds, by their last label."""
    found = samples_of(client.get("/metrics").text)
    return {
        f"{name} {dict(labels).get('outcome') or dict(labels).get('which') or ''}".strip(): value
        for (name, labels), value in found.items()
        if name.startswith("service_traffic_") and ("version", "2") in labels
    }


def test_prometheus_is_shown_the_second_version_as_long_as_there_is_one(client: Client) -> None:
    assert shown(client) == {}
    began = time.time()
    put(client, {**SPLIT, "percent": 100})
    for customer in ("a", "b", "c"):
        assert ask(client, customer) == 2

    wait_until(lambda: shown(client)["service_traffic_rows_total agreed"] == 3)

    found = shown(client)
    assert found["service_traffic_percent"] == 100
    assert began - 1 < found["service_traffic_start_time_seconds"] < time.time() + 1
    assert found["service_traffic_answered_rows_total second"] == 3
    assert found["service_traffic_answered_rows_total in_use"] == 0
    assert found["service_traffic_rows_total error"] == 0
    timed = told(client)["latency"]
    assert found["service_traffic_row_seconds_count second"] == timed["timed"]
    client.delete("/traffic")
    assert shown(client) == {}


def test_rules_are_told_with_what_they_say_now(client: Client) -> None:
    rules = {"rows": 10, "agreement": 0.5, "then": "promote", "else": "end"}
    put(client, {**SHADOW, "rules": rules})
    client.predict({"instances": [FLOWER] * 20})

    wait_until(lambda: told(client)["rows"] == 20)

    found = told(client)
    assert found["rules"] == {
        **rules, "errors": None, "latency_ratio": None, "quality": None
    }  # fmt: skip
    assert found["judgement"]["decision"] == "promote"
    assert "since all rules hold" in found["judgement"]["sentence"]
    assert {one["name"]: one["holds"] for one in found["judgement"]["checks"]} == {
        "rows": True, "agreement": True
    }  # fmt: skip


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "the one in use": ({"version": 1}, 409, "it is the one in use"),
    "another contract": ({"name": "wine", "version": 1}, 409, "feature"),
    "no version of that number": ({"version": 99}, 404, "99"),
    "no model of that name": ({"name": "nobody"}, 404, "nobody"),
    "the log of use": ({"name": "in-use", "version": 1}, 404, "in-use"),
    "an old epoch": ({"expected_epoch": 1}, 409, "expected_epoch"),
    "no percent": ({"percent": None}, 400, "percent"),
    "none of it": ({"percent": 0}, 400, "percent"),
    "more than all": ({"percent": 101}, 400, "percent"),
    "another mode": ({"mode": "mirror"}, 400, "mode"),
    "a key of a shadow": ({"key": "x-customer"}, 400, "key"),
    "a key that is no header": ({"mode": "split", "key": "a b"}, 400, "the name of a header"),
    "rules that ask nothing": ({"rules": {"then": "promote"}}, 400, "needs one of"),
    "a share above 1": ({"rules": {"agreement": 97}}, 400, "agreement"),
    "another quality": ({"rules": {"quality": "good"}}, 400, "quality"),
    "a misspelt rule": ({"rules": {"agrement": 0.9}}, 400, "did you mean 'agreement'?"),
    "rules that are a list": ({"rules": []}, 400, "/rules should be an object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_and_changes_nothing(client: Client, case: str) -> None:
    change, status, sentence = REFUSED[case]
    epoch = client.get("/use-model").json()["epoch"]

    refused = client.put("/traffic", json={**SHADOW, **change})

    assert refused.status_code == status, refused.text
    assert sentence in refused.text
    assert client.get("/use-model").json()["epoch"] == epoch
    assert client.get("/traffic").json() == {"traffic": None}


def test_it_is_there_again_after_a_restart(
    registry: FakeRegistry, client: Client, tmp_path: Path
) -> None:
    put(client, {**SPLIT, "percent": 100})

    with serve(settings_for(tmp_path), registry) as other:
        assert told(other)["version"] == 2
        assert ask(other, "a") == 2


def test_a_service_that_counts_nothing_refuses_it(
    registry: FakeRegistry, client: Client, tmp_path: Path
) -> None:
    assert client.get("/traffic").json() == {"traffic": None}
    with serve(settings_for(tmp_path, skew_rows_per_second=0), registry) as other:
        refused = other.put("/traffic", json=SHADOW)

    assert refused.status_code == 409
    assert "SERVICE_SKEW_ROWS_PER_SECOND" in refused.json()["detail"]
