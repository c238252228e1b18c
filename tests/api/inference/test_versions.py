"""Which version answers, and what is said of one that cannot: the model in use, others, none."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

REQUEST = {
    "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}]
}


@pytest.fixture(scope="module")
def other(shared_client: Client) -> Iterator[str]:
    """A model with two versions that is not in use."""
    for _ in range(2):
        shared_client.train(name="other", model_type="GaussianNB", dataset="iris", use=False)
    yield "other"
    shared_client.post("/use-model", json={"name": "iris", "version": 1})
    for number in (1, 2):
        assert shared_client.delete(f"/models/other/versions/{number}").status_code == 204


@pytest.fixture(scope="module")
def broken(shared_client: Client, registry: FakeRegistry) -> Iterator[str]:
    """A model whose one version cannot be served."""
    shared_client.train(name="broken", model_type="GaussianNB", dataset="iris", use=False)
    key = ("broken", 1)
    registry.versions[key] = replace(registry.versions[key], refusal="its registration is pending")
    yield "broken/versions/1"
    assert shared_client.delete("/models/broken/versions/1").status_code == 204


def answered_by(client: Client, path: str) -> tuple[str, str]:
    answered = client.post(f"/v2/models/{path}/infer", json=REQUEST)
    assert answered.status_code == 200, answered.text
    body = answered.json()
    return body["model_name"], body["model_version"]


def test_a_model_in_use_answers_by_the_version_in_use_and_another_by_its_newest(
    client: Client, other: str
) -> None:
    client.train(name="iris", model_type="GaussianNB", dataset="iris", use=False)

    assert answered_by(client, "iris") == ("iris", "1")
    assert answered_by(client, other) == ("other", "2")
    assert answered_by(client, f"{other}/versions/1") == ("other", "1")


def test_metadata_and_v1_speak_of_the_same_version(client: Client, other: str) -> None:
    shown = client.get(f"/v2/models/{other}").json()
    v1 = client.post(f"/v1/models/{other}:predict", json={"instances": [[5.1, 3.5, 1.4, 0.2]]})

    assert shown["versions"] == ["1", "2"]
    assert [tensor["datatype"] for tensor in shown["inputs"]] == ["FP64"] * 4
    assert v1.json() == {"predictions": ["setosa"]}
    assert v1.headers["x-model-version"] == "2"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/{}"),
        ("GET", "/v2/models/{}/config"),
        ("POST", "/v2/models/{}/infer"),
    ],
)
def test_a_version_that_cannot_be_served_is_409_with_the_reason_with_and_without_its_number(
    client: Client, broken: str, method: str, path: str
) -> None:
    for name in (broken, "broken"):
        refused = client.request(method, path.format(name), json=REQUEST)

        assert refused.status_code == 409
        assert "its registration is pending" in refused.json()["error"]


def test_it_is_not_ready_and_cannot_be_loaded(client: Client, broken: str) -> None:
    by_version = client.get(f"/v2/models/{broken}/ready")
    load = client.post("/v2/repository/models/broken/load")
    predicted = client.post("/v1/models/broken:predict", json={"instances": [[1, 2, 3, 4]]})

    assert by_version.status_code == load.status_code == predicted.status_code == 409
    for path in ("/v2/models/broken/ready", "/v1/models/broken"):
        assert client.get(path).status_code == 503


def test_the_index_has_every_version_with_its_state(
    client: Client,
    other: str,
    broken: str,  # noqa: ARG001
) -> None:
    def states(**body: object) -> dict[tuple[str, str], str]:
        index = client.post("/v2/repository/index", json=body).json()
        return {(item["name"], item["version"]): item["state"] for item in index}

    whole, ready = states(), states(ready=True)

    assert whole["iris", "1"] == whole[other, "1"] == whole[other, "2"] == "READY"
    assert whole["broken", "1"] == "UNAVAILABLE"
    # Other tests may have left versions that are not ready either.
    left_out = {key for key in set(whole) - set(ready) if key[0] in ("iris", other, "broken")}
    assert left_out == {("broken", "1")}


def test_load_puts_a_version_in_use_and_unload_keeps_it_there(client: Client, other: str) -> None:
    for version in ("1", 2):
        loaded = client.post(
            f"/v2/repository/models/{other}/load", json={"parameters": {"version": version}}
        )
        assert loaded.json() == {"name": other, "load": True}
        assert client.get("/use-model").json()["version"] == int(version)
    assert client.post(f"/v2/repository/models/{other}/unload").status_code == 409

    client.post("/use-model", json={"name": "iris", "version": 1})
    assert answered_by(client, other) == (other, "2")
    assert client.post(f"/v2/repository/models/{other}/unload").json()["unload"] is True


@pytest.mark.parametrize(
    "body",
    [
        {"parameters": {"file:1/model.onnx": "AAAA"}},
        {"parameters": {"config": "{}"}},
        {"parameters": {"version": True}},
        {"parameters": {"version": [1]}},
        {"parameters": []},
        {"version": 1},
    ],
)
def test_load_takes_a_version_and_nothing_else(client: Client, body: object) -> None:
    assert client.post("/v2/repository/models/iris/load", json=body).status_code == 400


def test_a_model_named_in_another_way_than_its_registration_is_404_everywhere(
    client: Client,
) -> None:
    for name in ("in-use", "nobody", "a:b", "%2e%2e", "x" * 300):
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/ready", f"/v2/models/{name}/config"):
            assert client.get(path).status_code == 404, path
        assert client.post(f"/v2/models/{name}/infer", json=REQUEST).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/iris/infer%0A",
        "/v2/models/iris/versions/1/infer%0A",
        "/v1/models/iris:predict%0A",
        "/v1/models/a:b:predict",
    ],
)
def test_a_path_that_is_almost_a_route_of_inference_is_404(client: Client, path: str) -> None:
    refused = client.post(path, json=REQUEST)

    assert refused.status_code == 404
    assert refused.json() == {"error": "No such route; see GET /docs."}


def test_no_other_version_answers_for_the_one_in_use_while_that_is_not_served(
    tmp_path: Path,
) -> None:
    registry = FakeRegistry(tmp_path)
    training = {"name": "iris", "model_type": "GaussianNB", "dataset": "iris"}
    with serve(settings_for(tmp_path / "data"), registry) as client:
        client.train(**training)
        client.train(**training, use=False)
    broken = replace(registry.versions["iris", 1], refusal="its registration is pending")
    registry.versions["iris", 1] = broken

    with serve(settings_for(tmp_path / "other"), registry) as client:
        refused = client.post("/v2/models/iris/infer", json=REQUEST)
        ready = client.get("/v2/models/iris/ready")

        assert refused.status_code == ready.status_code == 503
        assert "its registration is pending" in refused.json()["error"]
        assert answered_by(client, "iris/versions/2") == ("iris", "2")
