"""`/train` and `/trainings` over HTTP, with workers that really fit a model."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import ENDLESS, Client, serve, settings_for
from tests.support.waiting import wait_until

CSV = "x,colour,y\n" + "".join(f"{i},{'red' if i % 3 else 'blue'},{i % 2}\n" for i in range(60))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service that runs one training at a time, queues one, and stops a training after 2 s."""
    folder = tmp_path_factory.mktemp("narrow")
    settings = settings_for(folder / "data", trainings_queued=1, training_seconds=2.0)
    with serve(settings, FakeRegistry(folder)) as client:
        yield client


def test_a_named_data_set_needs_nothing_else_than_a_type(client: Client) -> None:
    result = client.train(dataset="wine", model_type="RandomForestClassifier")

    assert result["state"] == "succeeded"
    assert result["name"] == "wine"
    assert result["used"] is True
    assert result["metrics"]["accuracy"] > 0.8
    assert result["seconds"]["total"] >= result["seconds"]["fit"]
    assert result["run_id"] == result["id"]


def test_the_result_answers_the_next_prediction(client: Client) -> None:
    result = client.train(name="fresh", dataset="iris", model_type="GaussianNB")

    response = client.predict(client.get("/schema").json()["example"])

    assert response.headers["x-model-name"] == "fresh"
    assert response.headers["x-model-version"] == str(result["version"])


def test_with_use_false_the_model_in_use_stays(client: Client) -> None:
    result = client.train(name="aside", dataset="iris", model_type="GaussianNB", use=False)

    assert result["used"] is False
    assert client.get("/use-model").json()["name"] == "iris"


def test_without_a_type_it_is_that_of_the_model_in_use(client: Client) -> None:
    client.train(
        name="first",
        dataset="iris",
        model_type="RandomForestClassifier",
        params={"n_estimators": 7},
    )

    result = client.train(dataset={"columns": ["x", "y"], "rows": [[1, "u"], [2, "v"]] * 10},
                          target="y")  # fmt: skip

    assert (result["name"], result["model_type"]) == ("first", "RandomForestClassifier")
    version = client.get(f"/models/first/versions/{result['version']}").json()
    assert version["params"] == {"n_estimators": 7}


def test_a_form_with_a_csv_file_is_trained_on(client: Client) -> None:
    fields = {"target": "y", "model_type": "LogisticRegression", "params": '{"C": 0.5}'}

    response = client.post("/train", data=fields, files={"file": ("my rows.csv", CSV.encode())})

    assert response.status_code == 201, response.text
    assert response.json()["name"] == "my-rows"
    schema = client.get("/schema").json()
    assert [feature["type"] for feature in schema["features"]] == ["number", "text"]
    assert schema["classes"] == [0, 1]


def test_a_form_with_a_parquet_file_is_trained_on(client: Client) -> None:
    table = pa.table({"x": [1.5, 2.5] * 20, "ok": [True, False] * 20, "y": ["u", "v"] * 20})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    fields = {"name": "columns", "target": "y", "model_type": "GaussianNB"}

    response = client.post(
        "/train", data=fields, files={"file": ("rows.parquet", buffer.getvalue().to_pybytes())}
    )

    assert response.status_code == 201, response.text
    schema = client.get("/schema").json()
    assert [feature["type"] for feature in schema["features"]] == ["number", "boolean"]


def test_an_uploaded_data_set_is_trained_on_by_name(client: Client) -> None:
    uploaded = client.post(
        "/datasets?name=colours&target=y", content=CSV, headers={"content-type": "text/csv"}
    )
    assert uploaded.status_code == 201, uploaded.text

    result = client.train(dataset="colours", model_type="DecisionTreeClassifier")

    assert result["name"] == "colours"


def test_cross_validation_and_search_are_measured(client: Client) -> None:
    result = client.train(
        name="searched",
        dataset="iris",
        model_type="SVC",
        cv=3,
        search={"params": {"C": [0.1, 1, 10]}, "n_iter": 2},
    )

    assert 0.8 < result["metrics"]["cv_accuracy_mean"] <= 1


def test_what_a_search_found_is_kept_and_taken_by_the_next_training(client: Client) -> None:
    body = {"model_type": "DecisionTreeClassifier", "params": {"min_samples_leaf": 3}, "cv": 3}
    found = client.train(
        name="found", dataset="iris", search={"params": {"max_depth": [1, 5]}}, **body
    )
    again = client.train(name="again", dataset="iris")

    for trained in (found, again):
        shown = client.get(f"/models/{trained['name']}/versions/{trained['version']}").json()
        assert shown["params"] == {"min_samples_leaf": 3, "max_depth": 5}


@pytest.mark.parametrize("form", [False, True])
def test_an_empty_model_type_is_refused_and_none_is_that_of_the_model_in_use(
    client: Client, form: bool
) -> None:
    def ask(**body: str | None) -> httpx.Response:
        sent = {"name": "empty", "dataset": "iris", **body}
        if form:
            fields = {key: (None, value) for key, value in sent.items() if value is not None}
            return client.post("/train", files=fields)
        return client.post("/train", json=sent)

    refused = ask(model_type="")

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "/model_type"
    assert ask(model_type=None).status_code == 201


def test_a_training_that_nobody_waits_for_is_followed(client: Client) -> None:
    response = client.post(
        "/train", json={"dataset": "iris", "model_type": "GaussianNB", "name": "later", "wait": 0}
    )

    assert response.status_code == 202
    assert response.headers["location"] == f"/trainings/{response.json()['id']}"
    ended = client.wait_for_training(response.json()["id"])
    assert (ended["state"], ended["progress"], ended["used"]) == ("succeeded", 1.0, True)
    assert ended["id"] in [item["id"] for item in client.get("/trainings").json()["trainings"]]


def test_an_error_that_only_the_fit_finds_reaches_clients_that_wait(client: Client) -> None:
    # Two identical features: the covariance matrix of a class does not have full rank.
    rows = [[float(i % 2), float(i % 2), "uv"[i % 2]] for i in range(40)]

    response = client.post(
        "/train",
        json={
            "name": "singular",
            "model_type": "QuadraticDiscriminantAnalysis",
            "dataset": {"columns": ["a", "b", "y"], "rows": rows},
            "target": "y",
        },
    )

    assert response.status_code == 400, response.text
    failed = client.get("/trainings?limit=1").json()["trainings"][0]
    assert failed["state"] == "failed"
    assert failed["error"]


def test_a_training_is_cancelled(narrow: Client) -> None:
    identifier = narrow.post("/train", json=ENDLESS).json()["id"]
    wait_until(lambda: narrow.get(f"/trainings/{identifier}").json()["state"] == "running")

    cancelled = narrow.delete(f"/trainings/{identifier}")

    assert cancelled.status_code == 200
    assert cancelled.json()["state"] == "cancelled"
    assert narrow.get(f"/trainings/{identifier}").json()["state"] == "cancelled"
    assert narrow.delete(f"/trainings/{identifier}").status_code == 409


def test_a_full_queue_is_429_and_loses_nothing(narrow: Client) -> None:
    identifiers = [narrow.post("/train", json=ENDLESS).json()["id"] for _ in range(2)]

    refused = narrow.post("/train", json=ENDLESS)

    assert refused.status_code == 429
    assert refused.headers["retry-after"].isdigit()
    states = {narrow.get(f"/trainings/{item}").json()["state"] for item in identifiers}
    assert states <= {"queued", "running"}
    for identifier in identifiers:
        assert narrow.delete(f"/trainings/{identifier}").status_code == 200


def test_a_training_over_its_time_is_stopped(narrow: Client) -> None:
    response = narrow.post("/train", json={**ENDLESS, "wait": 30})

    assert response.status_code == 400
    assert response.json()["detail"] == "It took longer than the limit of 2 s."
    assert narrow.get("/trainings?limit=1").json()["trainings"][0]["state"] == "failed"


def test_the_model_types_describe_themselves(client: Client) -> None:
    types = client.get("/model-types").json()["model_types"]

    assert len(types) >= 25
    forest = client.get("/model-types/RandomForestClassifier").json()
    assert forest in types
    assert forest["params"]["n_estimators"]["default"] == 100
    assert forest["params"]["n_estimators"]["maximum"] < 10_000


def test_data_sets_are_listed_shown_and_deleted(client: Client) -> None:
    body: dict[str, Any] = {"records": [{"a": 1, "y": "u"}, {"a": None, "y": "v"}]}
    added = client.post("/datasets?name=small", json=body)
    assert added.status_code == 201, added.text
    assert added.json()["columns"] == [
        {"name": "a", "type": "number", "missing": 1},
        {"name": "y", "type": "text", "missing": 0},
    ]

    names = [item["name"] for item in client.get("/datasets").json()["datasets"]]
    assert {"small", "iris", "wine", "breast_cancer", "digits"} <= set(names)
    assert client.get("/datasets/small").json() == added.json()
    assert client.get("/datasets/iris").json()["target"] == "target"

    assert client.delete("/datasets/small").status_code == 204
    assert client.get("/datasets/small").status_code == 404


def test_a_data_set_with_a_built_in_name_or_a_strange_target_is_refused(client: Client) -> None:
    headers = {"content-type": "text/csv"}

    built_in = client.post("/datasets?name=iris", content=CSV, headers=headers)
    strange = client.post("/datasets?name=x&target=colur", content=CSV, headers=headers)
    nameless = client.post("/datasets", content=CSV, headers=headers)

    assert built_in.status_code == 409
    assert strange.status_code == 400
    assert "did you mean 'colour'?" in strange.json()["detail"]
    assert nameless.status_code == 400


def test_while_mlflow_is_down_training_and_changing_are_503_and_predictions_go_on(
    client: Client, registry: FakeRegistry
) -> None:
    client.get("/models")
    registry.down = True

    for response in (
        client.post("/train", json={"dataset": "iris", "model_type": "SVC"}),
        client.post("/use-model", json={"name": "iris", "version": 1}),
        client.get("/trainings"),
        client.get("/datasets"),
    ):
        assert response.status_code == 503, response.text
        assert response.headers["retry-after"].isdigit()
        assert json.loads(response.content)["type"] == "/problems/mlflow-unavailable"
    assert client.predict({"instances": [[5.1, 3.5, 1.4, 0.2]]}).status_code == 200
    assert client.get("/readyz").status_code == 200
    listed = client.get("/models").json()
    assert listed["stale"] is True
    assert "iris" in [item["name"] for item in listed["models"]]


def test_a_model_is_named_after_its_file_without_the_dots(client: Client) -> None:
    files = {"file": ("customers.v2.csv", CSV.encode())}
    fields = {"target": "y", "model_type": "GaussianNB", "use": "false"}

    response = client.post("/train", data=fields, files=files)

    assert (response.status_code, response.json()["name"]) == (201, "customers-v2")


def test_a_data_set_may_be_called_like_the_log_of_use(client: Client) -> None:
    headers = {"content-type": "text/csv"}
    added = client.post("/datasets?name=in-use", content="a,y\n1,u\n", headers=headers)

    assert added.status_code == 201
    assert client.get("/datasets/in-use").status_code == 200
    assert client.delete("/datasets/in-use").status_code == 204
