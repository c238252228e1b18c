"""Clients of other servers ask the release in their own protocols, and any version."""

from typing import Any

import httpx
import pytest

from tests.e2e.cluster import PORTS, Cluster
from tests.e2e.forward import Forward, open_api

ROW = [5.1, 3.5, 1.4, 0.2]
TENSOR = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": ROW}
OUTPUTS = [{"name": "predict"}, {"name": "predict_proba"}]


@pytest.fixture
def beside(api: httpx.Client, iris: int) -> dict[str, Any]:  # noqa: ARG001
    """Train a version that is not put in use."""
    body = {"dataset": "iris", "name": "beside", "model_type": "GaussianNB", "use": False}
    response = api.post("/train", json=body)
    assert response.status_code == 201, response.text
    training: dict[str, Any] = response.json()
    return training


def test_every_protocol_gives_the_same_answer(api: httpx.Client, iris: int) -> None:
    """Through the Service, as a client in the cluster asks."""
    own = api.post("/predict", json={"instances": [ROW], "probabilities": True}).json()
    infer = {"inputs": [TENSOR], "outputs": OUTPUTS}
    labels, chances = api.post("/v2/models/iris/infer", json=infer).json()["outputs"]
    score = api.post("/invocations", json={"inputs": [ROW]})
    v1 = api.post("/v1/models/iris:predict", json={"instances": [ROW]})

    assert labels["data"] == score.json()["predictions"] == v1.json()["predictions"]
    assert labels["data"] == own["predictions"] == ["setosa"]
    assert chances["data"] == own["probabilities"][0]
    assert score.headers["x-model-version"] == str(iris)


def test_every_replica_answers_from_a_version_that_is_not_in_use(
    release: Cluster, beside: dict[str, Any]
) -> None:
    """Each loads it from MLflow when it is asked."""
    path = f"/v2/models/beside/versions/{beside['version']}"
    for pod in release.ready_pods("api"):
        with open_api(release, pod.name) as one:
            assert one.get(f"{path}/ready").status_code == 200
            answered = one.post(f"{path}/infer", json={"inputs": [TENSOR]})
            assert answered.json()["model_version"] == str(beside["version"])
            assert answered.json()["outputs"][0]["data"] == ["setosa"]
            in_use = one.get("/use-model").json()
            assert in_use["name"] == "iris"


def test_loading_a_model_puts_it_in_use_in_every_replica(
    release: Cluster, api: httpx.Client, beside: dict[str, Any], iris: int
) -> None:
    """The repository of the protocol is the same change as `/use-model`."""
    loaded = api.post("/v2/repository/models/beside/load", timeout=60)
    assert loaded.status_code == 200, loaded.text
    release.wait_served("beside", beside["version"])

    back = {"parameters": {"version": str(iris)}}
    assert api.post("/v2/repository/models/iris/load", json=back, timeout=60).status_code == 200
    release.wait_served("iris", iris)


def test_moving_an_alias_in_mlflow_changes_every_replica(
    release: Cluster, api: httpx.Client, iris: int
) -> None:
    """Whoever works in MLflow puts a version in use without a word to the service."""
    body = {"dataset": "iris", "name": "aliased", "model_type": "GaussianNB", "use": False}
    first, second = (api.post("/train", json=body).json()["version"] for _ in range(2))
    target = f"service/{release.name('mlflow')}"
    with (
        Forward(release, target, PORTS["mlflow"]) as forward,
        httpx.Client(
            base_url=forward.url, timeout=20, transport=httpx.HTTPTransport(retries=8)
        ) as mlflow,
    ):

        def name(version: int) -> None:
            alias = {"name": "aliased", "alias": "live", "version": str(version)}
            response = mlflow.post("/api/2.0/mlflow/registered-models/alias", json=alias)
            assert response.status_code == 200, response.text

        name(first)
        follow = {"name": "aliased", "alias": "live", "follow": True}
        assert api.post("/use-model", json=follow).status_code == 200
        name(second)
        release.wait_served("aliased", second)

    assert api.get("/use-model").json()["follows"] == {"name": "aliased", "alias": "live"}
    assert api.post("/use-model", json={"name": "iris", "version": iris}).status_code == 200
    release.wait_served("iris", iris)
