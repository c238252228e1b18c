"""`/use-model` and `/models` over HTTP: changes, their log, and what a failed change leaves."""

from pathlib import Path

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client


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


def test_the_listing_has_pages_and_a_filter(client: Client, two: str) -> None:
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


def test_a_version_shows_its_schema_example_and_training(client: Client, two: str) -> None:
    version = client.get(f"/models/{two}/versions/2").json()

    assert version["schema"]["classes"] == ["setosa", "versicolor", "virginica"]
    assert version["schema"]["target"] == "target"
    assert set(version["sha256"]) == {"schema.json", "model.onnx", "model.skops", "golden.npz"}
    assert client.get(f"/trainings/{version['training']}").json()["version"] == 2
    assert version["data_set"] == "iris"
    client.post("/use-model", json={"name": two, "version": 2})
    assert client.predict(version["example"]).status_code == 200


def _files(registry: FakeRegistry, name: str) -> Path:
    return registry.files(registry.newest_version(name))
