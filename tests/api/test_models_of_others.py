"""Models that others named, renamed or deleted in MLflow, over HTTP."""

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import wait_until

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
NAMES = ("Churn model", "Ção — é", "O'Brien's 50% {best}", ".hidden", "é" * 256)


@dataclass
class Scene:
    """A registry with two models, `iris` in use, and services over it."""

    folder: Path
    registry: FakeRegistry

    @contextmanager
    def serve(self, data: str = "data") -> Iterator[Client]:
        with serve(settings_for(self.folder / data), self.registry) as client:
            yield client


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    """Train two models, and end the service that did it; its data are in the registry's folder."""
    registry = FakeRegistry(tmp_path_factory.mktemp("trained"))
    with Scene(registry.folder, registry).serve() as client:
        for name in ("other", "iris"):
            client.train(name=name, dataset="iris", model_type="LogisticRegression")
    return registry


@pytest.fixture
def scene(trained: FakeRegistry, tmp_path: Path) -> Scene:
    return Scene(tmp_path, trained.copy(tmp_path))


@pytest.fixture
def client(scene: Scene) -> Iterator[Client]:
    with scene.serve() as client:
        yield client


def _path(name: str) -> str:
    return f"/models/{quote(name, safe='')}/versions/1"


def _deleted(client: Client) -> str:
    (value,) = re.findall(
        r"^service_model_in_use_deleted (\S+)$", client.get("/metrics").text, re.M
    )
    return str(value)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_any_name_is_listed_put_in_use_shown_and_deleted(
    scene: Scene, client: Client, name: str
) -> None:
    scene.registry.rename_model("other", name)

    (listed,) = client.get("/models", params={"name": name}).json()["models"]
    assert (listed["name"], listed["servable"], listed["in_use"]) == (name, True, False)
    assert client.get(_path(name)).json()["name"] == name

    used = client.post("/use-model", json={"name": name, "version": 1})
    assert (used.status_code, used.json()["name"]) == (200, name)
    answer = client.predict(ROW)
    assert answer.json()["model"] == name
    assert answer.headers["x-model-name"] == quote(name, safe="")
    assert client.get("/schema").headers["x-model-name"] == quote(name, safe="")
    assert client.get("/schema").json()["model"] == name
    assert f'service_model_in_use{{model="{name}",version="1"}} 1.0' in client.get("/metrics").text

    assert client.delete(_path(name)).status_code == 409
    client.post("/use-model", json={"name": "iris"})
    assert client.delete(_path(name)).status_code == 204
    assert client.get(_path(name)).status_code == 404


def test_a_model_of_any_name_is_served_from_the_cache_after_a_restart(scene: Scene) -> None:
    scene.registry.rename_model("other", ".hidden")
    with scene.serve() as client:
        assert client.post("/use-model", json={"name": ".hidden"}).status_code == 200
    shutil.rmtree(scene.registry.folder / "versions")

    with scene.serve() as restarted:
        assert restarted.predict(ROW).json()["model"] == ".hidden"


@pytest.mark.parametrize("name", ["a/b", "a:b", " ", "..", "x" * 257])
def test_a_name_that_mlflow_does_not_take_is_refused(client: Client, name: str) -> None:
    refused = client.post("/use-model", json={"name": name})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "/name"
    assert client.get(_path(name)).status_code == 404


def _in_use(client: Client) -> list[str]:
    return [one["name"] for one in client.get("/models").json()["models"] if one["in_use"]]


def test_a_model_in_use_that_is_renamed_goes_on_under_its_new_name(
    scene: Scene, client: Client
) -> None:
    epoch = client.get("/use-model").json()["epoch"]

    scene.registry.rename_model("iris", "Iris flowers")

    wait_until(lambda: client.get("/use-model").json()["name"] == "Iris flowers")
    answer = client.predict(ROW)
    assert (answer.json()["model"], answer.headers["x-model-name"]) == (
        "Iris flowers",
        "Iris%20flowers",
    )
    assert answer.headers["x-model-epoch"] == str(epoch)
    assert _in_use(client) == ["Iris flowers"]
    assert client.delete(_path("Iris flowers")).status_code == 409
    assert client.get("/readyz").json()["model"] == "Iris flowers"
    metrics = client.get("/metrics").text
    assert 'service_model_in_use{model="Iris flowers",version="1"} 1.0' in metrics
    assert 'service_model_in_use{model="iris"' not in metrics
    changed = client.post("/use-model", json={"name": "other"}).json()
    assert changed["previous"]["name"] == "Iris flowers"


@pytest.mark.parametrize("data", ["data", "of a new replica"])
def test_a_replica_that_starts_after_a_renaming_serves_the_new_name(
    scene: Scene, data: str
) -> None:
    scene.registry.rename_model("iris", "renamed")

    with scene.serve(data) as restarted:
        assert restarted.get("/readyz").status_code == 200
        assert restarted.predict(ROW).json()["model"] == "renamed"
        assert restarted.get("/use-model").json()["name"] == "renamed"
        assert _in_use(restarted) == ["renamed"]
        assert restarted.delete(_path("renamed")).status_code == 409


def test_a_replica_that_restarts_after_a_deletion_serves_from_its_cache(scene: Scene) -> None:
    scene.registry.delete_model("iris")

    with scene.serve() as restarted:
        assert restarted.get("/readyz").status_code == 200
        assert restarted.predict(ROW).json()["model"] == "iris"
        assert _deleted(restarted) == "1.0"
        assert restarted.delete(_path("iris")).status_code == 409


def test_another_model_under_the_old_name_is_not_taken_for_the_one_in_use(
    scene: Scene, client: Client
) -> None:
    scene.registry.rename_model("iris", "renamed")
    wait_until(lambda: client.get("/use-model").json()["name"] == "renamed")

    client.train(name="iris", dataset="wine", model_type="GaussianNB", use=False)

    assert _in_use(client) == ["renamed"]
    assert client.delete(_path("iris")).status_code == 204


def test_a_model_in_use_that_is_deleted_goes_on_being_served(
    scene: Scene, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert _deleted(client) == "0.0"

    with caplog.at_level(logging.WARNING, "service.rollout"):
        scene.registry.delete_model("iris")
        wait_until(lambda: _deleted(client) == "1.0")

    assert client.predict(ROW).json()["model"] == "iris"
    assert client.get("/readyz").status_code == 200
    assert client.get("/use-model").json()["name"] == "iris"
    refused = client.delete(_path("iris"))
    assert refused.status_code == 409
    assert "is in use" in refused.json()["detail"]
    assert len([line for line in caplog.messages if "was deleted in MLflow" in line]) == 1
    client.post("/use-model", json={"name": "other"})
    assert _deleted(client) == "0.0"
    assert client.delete(_path("iris")).status_code == 404
