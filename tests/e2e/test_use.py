"""A user works with the release from a terminal, through a port-forward."""

from typing import Any

import httpx
import pytest

from tests.e2e.cluster import PORTS, Cluster
from tests.e2e.forward import Forward, open_api

CUSTOMERS = "age,city,vip,churned\n" + "34,Rio,true,yes\n51,,false,no\n" * 20
FLOWER = {
    "sepal length (cm)": 5.1,
    "sepal width (cm)": 3.5,
    "petal length (cm)": 1.4,
    "petal width (cm)": 0.2,
}


@pytest.fixture
def customers(api: httpx.Client) -> dict[str, Any]:
    """Train on a CSV file, and put the version in use."""
    response = api.post(
        "/train",
        files={"file": ("customers.csv", CUSTOMERS)},
        data={"target": "churned", "name": "customers", "model_type": "RandomForestClassifier"},
    )
    assert response.status_code == 201, response.text
    training: dict[str, Any] = response.json()
    return training


def test_a_flower_is_classified(api: httpx.Client, iris: int) -> None:
    """The first request that a user tries."""
    response = api.post("/predict", json={"instances": [FLOWER], "probabilities": True})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["predictions"] == ["setosa"]
    assert (answer["model"], answer["version"]) == ("iris", iris)
    assert sum(answer["probabilities"][0]) == pytest.approx(1)


@pytest.mark.usefixtures("iris")
def test_a_wrong_request_is_answered_with_one_that_works(api: httpx.Client) -> None:
    """The example in the 400 is a request that works."""
    refused = api.post("/predict", json={"instances": [{**FLOWER, "petal width (cm)": "wide"}]})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["errors"][0]["pointer"] == "/instances/0/petal width (cm)"
    assert api.post("/predict", json=problem["example"]).status_code == 200


def test_a_trained_file_is_served_by_every_replica(
    release: Cluster, customers: dict[str, Any]
) -> None:
    """Each pod is asked separately, with an instance from the file."""
    assert customers["used"]
    release.wait_served("customers", customers["version"])
    pods = release.ready_pods("api")
    assert len(pods) >= 2
    for pod in pods:
        with open_api(release, pod.name) as one:
            body = {"instances": [{"age": 34, "city": "Rio", "vip": True}]}
            response = one.post("/predict", json=body)
            assert response.json()["predictions"] == ["yes"]
            assert response.headers["x-model-name"] == "customers"
            assert response.headers["x-model-version"] == str(customers["version"])


def test_an_older_version_answers_again_in_every_replica(
    api: httpx.Client, release: Cluster, iris: int
) -> None:
    """Training puts a new version in use; /use-model takes it back."""
    order = {"dataset": "iris", "model_type": "DecisionTreeClassifier", "params": {"max_depth": 2}}
    trained = api.post("/train", json=order)
    assert trained.status_code == 201, trained.text
    newer = trained.json()["version"]
    assert newer > iris
    release.wait_served("iris", newer)

    listed = api.get("/models", params={"name": "iris"}).json()
    assert not listed["stale"]
    assert {each["version"] for each in listed["models"]} >= {iris, newer}
    assert all(each["created_at"].endswith("Z") for each in listed["models"])

    used = api.post("/use-model", json={"name": "iris", "version": iris})
    assert used.status_code == 200, used.text
    release.wait_served("iris", iris)
    for pod in release.ready_pods("api"):
        with open_api(release, pod.name) as one:
            answer = one.post("/predict", json={"instances": [FLOWER]}).json()
            assert (answer["version"], answer["predictions"]) == (iris, ["setosa"])


def test_mlflow_holds_the_run(release: Cluster, customers: dict[str, Any]) -> None:
    """MLflow's own API shows the training and its metrics."""
    with (
        Forward(release, f"service/{release.name('mlflow')}", PORTS["mlflow"]) as forward,
        httpx.Client(
            base_url=forward.url, timeout=20, transport=httpx.HTTPTransport(retries=8)
        ) as mlflow,
    ):
        asked = {"run_id": customers["run_id"]}
        response = mlflow.get("/api/2.0/mlflow/runs/get", params=asked)
    assert response.status_code == 200, response.text
    run = response.json()["run"]
    assert run["info"]["status"] == "FINISHED"
    metrics = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    assert metrics["accuracy"] == customers["metrics"]["accuracy"]
