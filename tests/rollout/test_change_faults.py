"""Changes of the model in use that meet each other, or an MLflow that fails."""

import threading
from pathlib import Path
from typing import Any

import pytest

from service import app
from service.common.domain import Use
from service.common.errors import RegistryUnavailable
from tests.support.fakes import FakeRegistry, make_version
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_an_unservable_newest_entry_is_reported_and_the_served_one_stays(
    client: Client, registry: FakeRegistry
) -> None:
    registry.versions["ghost", 1] = make_version(
        name="ghost", sha256={"schema.json": "0", "model.onnx": "1"}
    )
    before = client.get("/use-model").json()["epoch"]
    registry.commit_use(registry.versions["ghost", 1], "by hand")

    wait_until(lambda: client.get("/use-model").json()["epoch"] > before)

    answered = client.predict({"instances": [[5.1, 3.5, 1.4, 0.2]]})
    assert answered.headers["x-model-name"] == "iris"
    assert client.get("/use-model").json()["replicas"][0]["epoch"] == before
    del registry.versions["ghost", 1]
    client.post("/use-model", json={"name": "iris", "version": 1})


def test_a_refused_version_is_shown_as_refused_everywhere(
    client: Client, registry: FakeRegistry
) -> None:
    client.train(name="spoiled", dataset="iris", model_type="GaussianNB", use=False)
    version = registry.newest_version("spoiled")
    (registry.files(version) / "golden.npz").write_bytes(b"no zip")
    assert client.post("/use-model", json={"name": "spoiled"}).status_code == 409

    assert client.get("/models/spoiled/versions/1").json()["servable"] is False
    assert client.get("/models?name=spoiled").json()["models"][0]["servable"] is False


def test_two_changes_at_one_time_are_one_after_the_other(client: Client) -> None:
    for kind in ("GaussianNB", "LogisticRegression"):
        client.train(name="pair", dataset="iris", model_type=kind, use=False)
    answers: list[dict[str, int]] = []

    def change(version: int) -> None:
        body = {"name": "pair", "version": version}
        answers.append(client.post("/use-model", json=body).json())

    threads = [threading.Thread(target=change, args=(1 + i % 2,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    epochs = sorted(answer["epoch"] for answer in answers)
    assert epochs == list(range(epochs[0], epochs[0] + 6))
    last = max(answers, key=lambda answer: answer["epoch"])
    assert client.get("/use-model").json()["version"] == last["version"]


def test_an_mlflow_that_answers_late_is_reported_before_anything_is_done(tmp_path: Path) -> None:
    release = threading.Event()

    class Slow(FakeRegistry):
        slow = False

        def newest_use(self) -> None:
            if self.slow:
                release.wait(30)

    registry = Slow(tmp_path)
    with serve(settings_for(tmp_path / "data", poll_seconds=60), registry) as client:
        registry.slow = True
        response = client.post("/train", json={"dataset": "iris", "model_type": "GaussianNB"})
        release.set()

        assert response.status_code == 503
        assert response.json()["outcome"] == "unchanged"
        assert registry.trainings == {}
        assert not list((tmp_path / "data" / "work" / "uploads").iterdir())


def test_storage_that_is_down_is_reported_before_anything_is_done(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    with serve(settings_for(tmp_path / "data"), registry) as client:
        client.train(dataset="iris", model_type="GaussianNB")
        example = client.get("/schema").json()["example"]
        registry.storage_down = True

        response = client.post("/train", json={"dataset": "iris", "model_type": "GaussianNB"})

        assert response.status_code == 503
        assert response.json()["type"] == "/problems/mlflow-unavailable"
        assert len(registry.trainings) == 1
        # A version in the cache needs no storage.
        use = client.post("/use-model", json={"name": "iris", "version": 1})
        assert use.status_code == 200
        assert client.post("/predict", json=example).status_code == 200


def test_the_starter_does_not_replace_a_version_that_was_put_in_use_first(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    settings = settings_for(tmp_path / "data", starter_model="iris", trainings_at_once=1)
    with serve(settings, registry) as client:
        wait_until(lambda: any(t.state == "succeeded" for t in registry.trainings.values()))
        client.train(dataset="wine", model_type="GaussianNB")

        assert client.get("/use-model").json()["name"] == "wine"
        assert registry.uses[0].name == "iris"


def test_a_starter_model_that_could_not_be_put_in_use_is_put_in_use_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FailsOnce(FakeRegistry):
        refused = 0

        def commit_use(self, *args: Any, **kwargs: Any) -> Use:
            self.refused += 1
            if self.refused == 1:
                raise RegistryUnavailable("it cannot be reached.")
            return super().commit_use(*args, **kwargs)

    monkeypatch.setattr(app, "RETRY_SECONDS", 0.05)
    registry = FailsOnce(tmp_path)
    with serve(settings_for(tmp_path / "data", starter_model="iris"), registry) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)

        assert [training.state for training in registry.trainings.values()] == ["failed"]
        assert [(use.name, use.version) for use in registry.uses] == [("iris", 1)]


def test_an_error_of_a_registry_that_is_down_tells_the_outcome_of_a_change() -> None:
    assert RegistryUnavailable("x").outcome == "unchanged"
    assert RegistryUnavailable("x", "unknown").outcome == "unknown"
