"""`POST /models/{name}/versions/{version}/predict`: any version, beside the one in use."""

import json
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client
from tests.support.waiting import wait_until

ROW = [5.1, 3.5, 1.4, 0.2]


@pytest.fixture
def second(client: Client, registry: FakeRegistry) -> Iterator[int]:
    """A tree of the model in use that is not in use."""
    body = {"name": "iris", "model_type": "DecisionTreeClassifier", "dataset": "iris"}
    version = client.train(**body, use=False)["version"]
    yield version
    registry.versions.pop(("iris", version), None)


def ask(client: Client, name: str, version: object, **body: object) -> httpx.Response:
    path = f"/models/{name}/versions/{version}/predict"
    return client.post(path, json=body or {"instances": [ROW]})


def test_a_version_that_is_not_in_use_answers_under_its_own_address(
    client: Client, second: int
) -> None:
    answered = ask(client, "iris", second)

    assert answered.json() == {"model": "iris", "version": second, "predictions": ["setosa"]}
    assert answered.headers["x-model-version"] == str(second)
    assert "x-model-epoch" not in answered.headers
    assert client.predict({"instances": [ROW]}).json()["version"] == 1


def test_the_version_in_use_answers_under_its_own_address_with_its_epoch(client: Client) -> None:
    answered = ask(client, "iris", 1)

    assert answered.json()["version"] == 1
    assert int(answered.headers["x-model-epoch"]) >= 1


def test_it_has_the_contract_of_predict(client: Client, second: int) -> None:
    path = f"/models/iris/versions/{second}/predict"
    asked = ask(client, "iris", second, instances=[ROW, ROW], probabilities=True).json()
    refused = ask(client, "iris", second, instances=[{"petal_width": 1}])
    example = client.get(f"/models/iris/versions/{second}").json()["example"]
    lines = ",".join(f'"{name}"' for name in example["instances"][0]) + "\n5.1,3.5,1.4,0.2\n"
    file = client.post(path, content=lines, headers={"content-type": "text/csv"})

    assert len(asked["probabilities"]) == 2
    assert refused.status_code == 400
    assert refused.json()["model"] == {"name": "iris", "version": second}
    assert client.post(path, json=refused.json()["example"]).status_code == 200
    assert file.json()["predictions"] == ["setosa"]
    assert client.post(path, content=b"x").status_code == 415
    assert client.get(path).status_code == 405


@pytest.mark.parametrize(
    ("name", "version"), [("iris", 999), ("iris", "x"), ("none", 1), ("in-use", 1), ("iris", 0)]
)
def test_what_does_not_exist_is_404(client: Client, name: str, version: object) -> None:
    answered = ask(client, name, version)

    assert answered.status_code == 404
    assert answered.json()["type"] in ("/problems/model-not-found", "/problems/version-not-found")


def test_a_version_that_cannot_be_served_is_409_with_the_reason(
    client: Client, registry: FakeRegistry, second: int
) -> None:
    broken = replace(registry.versions["iris", second], refusal="its registration is pending")
    registry.versions["iris", second] = broken

    answered = ask(client, "iris", second)

    assert answered.status_code == 409
    assert "its registration is pending" in answered.json()["detail"]


def test_a_loaded_version_goes_on_answering_while_mlflow_is_away(
    client: Client, registry: FakeRegistry, second: int
) -> None:
    assert ask(client, "iris", second).status_code == 200
    registry.down = True

    assert ask(client, "iris", second).status_code == 200
    assert ask(client, "iris", 999).status_code == 503


def test_a_version_that_was_deleted_elsewhere_is_gone_soon(
    client: Client, registry: FakeRegistry, second: int
) -> None:
    assert ask(client, "iris", second).status_code == 200
    del registry.versions["iris", second]

    wait_until(lambda: ask(client, "iris", second).status_code == 404)


def test_a_version_that_is_deleted_by_the_api_is_gone_at_once(client: Client, second: int) -> None:
    assert ask(client, "iris", second).status_code == 200
    assert client.delete(f"/models/iris/versions/{second}").status_code == 204

    assert ask(client, "iris", second).status_code == 404


def test_its_predictions_are_counted_under_its_version_and_route(
    client: Client, second: int
) -> None:
    ask(client, "iris", second)

    text = client.get("/metrics").text

    assert f'service_instances_total{{model="iris",version="{second}"}} 1.0' in text
    route = 'route="/models/{name}/versions/{version}/predict"'
    assert f'service_requests_total{{method="POST",{route},status="200"}}' in text


def test_the_labels_and_probabilities_are_those_of_predict(client: Client, second: int) -> None:
    body = {
        "instances": [[5 + i / 10, 3.5, i / 3, i / 7] for i in range(20)],
        "probabilities": True,
    }
    beside = ask(client, "iris", second, **body).json()
    client.post("/use-model", json={"name": "iris", "version": second})

    assert json.dumps(client.predict(body).json()) == json.dumps(beside)
