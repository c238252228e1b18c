"""`/use-model` and `/models` over HTTP: changes, their log, and what a failed change leaves."""

from pathlib import Path

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def two(shared_client: Client) -> str:
    """The name of a model that has two versions."""
    for kind in ("GaussianNB", "LogisticRegression"):
        shared_client.train(name="two", dataset="iris", model_type=kind, use=False)
    return "two"


def _in_use(client: Client) -> tuple[str, int]:
    body = client.get("/use-model").json()
    return body["name"], body["version"]


def test_a_version_is_put_in_use_and_rolled_back(client: Client, two: str) -> None:
    before = client.get("/use-model").json()["epoch"]

    changed = client.post("/use-model", json={"name": two, "version": 2}).json()
    back = client.post("/use-model", json={"name": two, "version": 1}).json()

    assert (changed["name"], changed["version"], changed["epoch"]) == ("two", 2, before + 1)
    assert changed["previous"] == {"name": "iris", "version": 1, "epoch": before}
    assert changed["missing"] == []
    assert [replica["epoch"] for replica in changed["replicas"]] == [before + 1]
    assert back["epoch"] == before + 2
    assert _in_use(client) == ("two", 1)


def test_without_a_version_the_newest_is_taken(client: Client, two: str) -> None:
    assert client.post("/use-model", json={"name": two}).json()["version"] == 2


def test_an_alias_names_a_version(client: Client, two: str, registry: FakeRegistry) -> None:
    registry.aliases[two, "best"] = 1

    assert client.post("/use-model", json={"name": two, "alias": "best"}).json()["version"] == 1


@pytest.fixture
def followed(client: Client, two: str, registry: FakeRegistry) -> str:
    """The name of the model whose alias `best` is followed, at version 1."""
    registry.aliases[two, "best"] = 1
    changed = client.post("/use-model", json={"name": two, "alias": "best", "follow": True})
    assert changed.status_code == 200, changed.text
    assert changed.json()["follows"] == {"name": two, "alias": "best"}
    return two


def _follow_failed(client: Client) -> bool:
    return "\nservice_alias_follow_failed 1.0\n" in client.get("/metrics").text


def test_an_alias_that_is_followed_changes_the_model_in_use(
    client: Client, followed: str, registry: FakeRegistry
) -> None:
    before = client.get("/use-model").json()
    registry.aliases[followed, "best"] = 2
    wait_until(lambda: _in_use(client) == (followed, 2))

    after = client.get("/use-model").json()
    assert after["epoch"] == before["epoch"] + 1
    assert before["follows"] == after["follows"] == {"name": followed, "alias": "best"}
    assert "follow_error" not in after
    assert client.predict({"instances": [[5.1, 3.5, 1.4, 0.2]]}).json()["version"] == 2


@pytest.mark.parametrize("follow", [{}, {"follow": False}, {"follow": None}])
def test_a_change_without_follow_ends_it(
    client: Client, followed: str, registry: FakeRegistry, follow: dict[str, object]
) -> None:
    changed = client.post("/use-model", json={"name": followed, "alias": "best", **follow}).json()
    asked = registry.alias_questions
    registry.aliases[followed, "best"] = 2
    polls = client.get("/metrics").text

    assert (changed["version"], changed["follows"]) == (1, None)
    wait_until(lambda: _polls(client.get("/metrics").text) >= _polls(polls) + 2)
    assert _in_use(client) == (followed, 1)
    assert client.get("/use-model").json()["follows"] is None
    assert registry.alias_questions == asked


def _polls(metrics: str) -> float:
    (line,) = [one for one in metrics.splitlines() if 'polls_total{outcome="ok"}' in one]
    return float(line.split()[1])


def test_a_training_that_is_put_in_use_ends_it(client: Client, followed: str) -> None:
    assert client.get("/use-model").json()["follows"] == {"name": followed, "alias": "best"}

    client.train(name="fresh", dataset="iris", model_type="GaussianNB")

    assert client.get("/use-model").json()["follows"] is None


def test_a_followed_version_that_cannot_be_served_is_told_and_leaves_the_one_in_use(
    client: Client, followed: str, registry: FakeRegistry
) -> None:
    client.train(name=followed, dataset="iris", model_type="GaussianNB", use=False)
    broken = registry.newest_version(followed)
    (registry.files(broken) / "golden.npz").unlink()
    assert not _follow_failed(client)

    registry.aliases[followed, "best"] = broken.version
    told = wait_until(lambda: client.get("/use-model").json().get("follow_error"))

    assert f"names version {broken.version} of 'two'" in told
    assert "golden.npz is missing" in told
    assert _in_use(client) == (followed, 1)
    wait_until(lambda: _follow_failed(client))
    assert wait_until(lambda: registry.newest_version(followed).follow_error) == told
    registry.aliases[followed, "best"] = 2
    wait_until(lambda: _in_use(client) == (followed, 2))
    # It is told until the poll that has followed is over.
    wait_until(lambda: "follow_error" not in client.get("/use-model").json())
    wait_until(lambda: not _follow_failed(client))
    registry.delete_version(followed, broken.version)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"follow": True}, "needs alias"),
        ({"follow": True, "alias": None}, "needs alias"),
        ({"follow": True, "version": 1}, "needs alias"),
        ({"follow": True, "version": 1, "alias": "best"}, "cannot be sent beside version"),
        ({"follow": "yes", "alias": "best"}, "boolean"),
        ({"follow": 1, "alias": "best"}, "boolean"),
    ],
)
def test_an_alias_to_follow_has_to_be_named_alone(
    client: Client, two: str, body: dict[str, object], message: str
) -> None:
    before = client.get("/use-model").json()

    response = client.post("/use-model", json={"name": two, **body})

    assert response.status_code == 400
    assert len(response.json()["errors"]) == 1
    assert message in response.json()["detail"]
    assert client.get("/use-model").json() == before


def test_an_alias_that_is_not_there_is_not_followed(client: Client, two: str) -> None:
    body = {"name": two, "alias": "nobody", "follow": True}

    assert client.post("/use-model", json=body).status_code == 404
    assert client.get("/use-model").json()["follows"] is None


def test_the_next_prediction_after_a_change_is_the_new_models(client: Client, two: str) -> None:
    for version in (1, 2, 1, 2):
        client.post("/use-model", json={"name": two, "version": version})
        response = client.predict({"instances": [[5.1, 3.5, 1.4, 0.2]]})
        assert response.json()["version"] == version
        assert response.headers["x-model-version"] == str(version)


def test_a_version_whose_file_was_changed_is_refused_and_the_old_one_stays(
    client: Client, registry: FakeRegistry
) -> None:
    client.train(name="tampered", dataset="iris", model_type="LogisticRegression", use=False)
    graph = _files(registry, "tampered") / "model.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(bytes(data))

    response = client.post("/use-model", json={"name": "tampered"})

    assert response.status_code == 409
    assert "is not the one that was registered" in response.json()["detail"]
    assert _in_use(client) == ("iris", 1)
    listed = client.get("/models?name=tampered").json()["models"][0]
    assert listed["servable"] is False
    assert "sha256" in listed["reason"]


def test_a_version_whose_file_is_gone_is_refused(client: Client, registry: FakeRegistry) -> None:
    client.train(name="gone", dataset="iris", model_type="LogisticRegression", use=False)
    (_files(registry, "gone") / "golden.npz").unlink()

    assert client.post("/use-model", json={"name": "gone"}).status_code == 409
    assert _in_use(client) == ("iris", 1)


def test_a_version_that_is_not_in_use_is_deleted(client: Client) -> None:
    client.train(name="brief", dataset="iris", model_type="GaussianNB", use=False)

    assert client.delete("/models/brief/versions/1").status_code == 204
    assert client.get("/models/brief/versions/1").status_code == 404
    assert client.post("/use-model", json={"name": "brief", "version": 1}).status_code == 404


def test_the_listing_has_pages_and_a_filter(
    client: Client, two: str, registry: FakeRegistry
) -> None:
    registry.aliases.clear()
    page = client.get(f"/models?name={two}&limit=1").json()
    rest = client.get(f"/models?name={two}&limit=1&page_token={page['next_page_token']}").json()

    assert [item["version"] for item in page["models"] + rest["models"]] == [2, 1]
    assert rest["next_page_token"] is None
    assert page["stale"] is False
    item = page["models"][0]
    assert item["model_type"] == "LogisticRegression"
    assert item["servable"] is True
    assert item["created_at"].endswith("Z")
    assert item["metrics"]["accuracy"] > 0.8
    assert item["aliases"] == []
    registry.aliases[two, "shown"] = 2
    listed = client.get(f"/models?name={two}").json()["models"]
    assert [version["aliases"] for version in listed if version["version"] == 2] == [["shown"]]
    del registry.aliases[two, "shown"]


def test_a_version_shows_its_schema_example_and_training(client: Client, two: str) -> None:
    version = client.get(f"/models/{two}/versions/2").json()

    assert version["schema"]["classes"] == ["setosa", "versicolor", "virginica"]
    assert version["schema"]["target"] == "target"
    assert set(version["sha256"]) == {
        *("schema.json", "model.onnx", "model.skops", "golden.npz", "reference.json"),
    }
    assert client.get(f"/trainings/{version['training']}").json()["version"] == 2
    assert version["data_set"] == "iris"
    client.post("/use-model", json={"name": two, "version": 2})
    assert client.predict(version["example"]).status_code == 200


def _files(registry: FakeRegistry, name: str) -> Path:
    return registry.files(registry.newest_version(name))
