"""`"use": "if-better"` over HTTP: both versions answer the held-out rows of the training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.registry.mlflow_registry import MlflowRegistry
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.stores import with_tables

GOOD: dict[str, Any] = {"model_type": "LogisticRegression", "dataset": "wine", "name": "wine"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as client:
        yield client


def in_use(client: Client) -> tuple[str, int]:
    found = client.get("/use-model").json()
    return found["name"], found["version"]


def test_a_better_version_takes_over_and_the_comparison_is_told(client: Client) -> None:
    worse = {**GOOD, "model_type": "DecisionTreeClassifier", "params": {"max_depth": 1}}
    before = client.train(**worse)

    result = client.train(**GOOD, use="if-better")

    assert result["used"] is True
    assert in_use(client) == ("wine", result["version"])
    comparison = result["comparison"]
    assert comparison["verdict"] == "better"
    assert comparison["rows"] == 36
    # Both trainings held out the same rows, and what each recorded of them is what was compared.
    for metrics, training in ((comparison["new"], result), (comparison["in_use"], before)):
        assert set(metrics) == {"accuracy", "balanced_accuracy", "f1", "log_loss"}
        recorded = {name: training["metrics"][name] for name in metrics}
        assert metrics == pytest.approx(recorded, rel=1e-9)
    gain = comparison["only_new_right"] - comparison["only_in_use_right"]
    accuracy = result["metrics"]["accuracy"] - before["metrics"]["accuracy"]
    assert gain == pytest.approx(36 * accuracy)
    assert 0 < comparison["p_value"] < 0.05


def test_a_version_that_is_not_better_is_kept_and_not_used(client: Client) -> None:
    first = client.train(**GOOD)
    worse = {**GOOD, "model_type": "DecisionTreeClassifier", "params": {"max_depth": 1}}

    result = client.train(**worse, use="if-better")
    again = client.train(**GOOD, use="if-better")

    assert (result["used"], result["comparison"]["verdict"]) == (False, "not better")
    assert (again["used"], again["comparison"]["verdict"]) == (False, "not better")
    assert again["comparison"]["p_value"] == 1.0
    assert in_use(client) == ("wine", first["version"])
    assert client.get(f"/models/wine/versions/{result['version']}").status_code == 200


def test_other_classes_are_incomparable(client: Client) -> None:
    client.train(dataset="iris", model_type="GaussianNB")

    result = client.train(**GOOD, use="if-better")

    assert result["used"] is False
    comparison = result["comparison"]
    assert (comparison["verdict"], comparison["in_use"]) == ("incomparable", None)
    assert comparison["p_value"] is None
    assert comparison["new"]["accuracy"] == pytest.approx(result["metrics"]["accuracy"])
    assert "is in use; it has" in result["notes"][-1]["message"]
    assert in_use(client)[0] == "iris"


def test_before_any_model_is_in_use_nothing_compares(client: Client) -> None:
    result = client.train(**GOOD, use="if-better")

    assert (result["used"], result["comparison"]["verdict"]) == (False, "incomparable")
    assert "No model is in use" in result["notes"][-1]["message"]


def test_a_training_without_the_wish_has_no_comparison(client: Client) -> None:
    result = client.train(**GOOD)

    assert "comparison" not in result


def test_a_form_says_it_in_plain_text(client: Client) -> None:
    rows = "x,y\n" + "".join(f"{i},{'no' if i < 40 else 'yes'}\n" for i in range(80))
    fields = {"target": "y", "name": "plain", "model_type": "LogisticRegression"}
    client.train(dataset={"columns": ["x", "y"], "rows": [[1, "no"], [2, "yes"]] * 10},
                 target="y", name="plain", model_type="GaussianNB")  # fmt: skip

    for wish in ("if-better", '"if-better"'):
        response = client.post(
            "/train", data={**fields, "use": wish}, files={"file": ("a.csv", rows.encode())}
        )
        assert response.status_code == 201, response.text
        assert response.json()["comparison"]["verdict"] in ("better", "not better")


def test_another_wish_is_refused(client: Client) -> None:
    response = client.post("/train", json={**GOOD, "use": "if-worse"})

    assert response.status_code == 400
    (problem,) = response.json()["errors"]
    assert problem == {"pointer": "/use", "message": 'must be true, false or "if-better"'}


def rows_of(cities: str, missing: int = 0) -> dict[str, Any]:
    """Return rows whose class follows the city; of some the weight is missing."""
    random = np.random.default_rng(0)
    rows = [
        [None if at < missing else float(random.normal()), cities[at % len(cities)], at % 2]
        for at in range(200)
    ]
    return {"columns": ["weight", "city", "y"], "rows": rows}


def test_held_out_rows_are_read_by_the_contract_of_the_version_in_use(client: Client) -> None:
    training = {"name": "towns", "target": "y", "model_type": "LogisticRegression"}
    client.train(**training, dataset=rows_of("ab"))

    unknown = client.train(**training, dataset=rows_of("abcd"), use="if-better")
    missing = client.train(**training, dataset=rows_of("ab", missing=100), use="if-better")

    for result in (unknown, missing):
        comparison = result["comparison"]
        note = result["notes"][-2]["message"]
        refused = int(note.split("refuses ")[1].split()[0])
        assert 0 < refused < 40
        assert comparison["only_in_use_right"] == 0
        assert comparison["only_new_right"] == refused
        assert comparison["in_use"]["accuracy"] == pytest.approx(1 - refused / 40)
        assert "log_loss" not in comparison["in_use"]
    assert unknown["used"]
    assert missing["notes"][-1]["message"].startswith("There is no log loss of 'towns' version")


def test_a_category_that_the_version_in_use_ignores_is_answered(client: Client) -> None:
    training = {"name": "towns", "target": "y", "model_type": "LogisticRegression"}
    client.train(**training, dataset=rows_of("ab"), unknown_categories="ignore")

    result = client.train(**training, dataset=rows_of("abcd"), use="if-better")

    assert "log_loss" in result["comparison"]["in_use"]
    assert not any("refuses" in note["message"] for note in result["notes"])


def test_a_native_version_in_use_answers_in_its_process(client: Client) -> None:
    nearest = {"dataset": "wine", "name": "wine", "model_type": "KNeighborsClassifier"}
    before = client.train(**nearest, params={"n_neighbors": 50})

    result = client.train(**GOOD, use="if-better")

    assert result["comparison"]["verdict"] == "better"
    assert result["comparison"]["in_use"]["accuracy"] == pytest.approx(
        before["metrics"]["accuracy"]
    )


def test_with_refit_the_version_before_it_is_compared(client: Client) -> None:
    before = client.train(**GOOD)

    result = client.train(**GOOD, refit=True, use="if-better")

    assert result["comparison"]["new"] == result["comparison"]["in_use"]
    assert result["comparison"]["new"]["accuracy"] == pytest.approx(before["metrics"]["accuracy"])
    assert "before it was fitted again" in result["notes"][-1]["message"]


def test_the_comparison_outlives_the_service(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data")
    store = with_tables(tmp_path / "store")
    with serve(settings, MlflowRegistry("", store)) as client:
        client.train(**GOOD)
        result = client.train(**GOOD, use="if-better")

    with serve(settings, MlflowRegistry("", store)) as client:
        shown = client.get(f"/trainings/{result['id']}").json()
        listed = client.get("/trainings").json()["trainings"][0]

    assert shown["comparison"] == listed["comparison"] == result["comparison"]


def test_a_missing_text_is_answered_as_a_prediction_of_it_would_be(client: Client) -> None:
    cities = ["Rio", "Rio", "Natal", None]
    rows = [[cities[n % 4], n % 7, "no" if cities[n % 4] == "Natal" else "yes"] for n in range(80)]
    missing: dict[str, Any] = {
        "name": "missing",
        "model_type": "LogisticRegression",
        "dataset": {"columns": ["city", "days", "left"], "rows": rows},
        "target": "left",
    }
    before = client.train(**missing)

    comparison = client.train(**missing, use="if-better")["comparison"]

    recorded = {name: before["metrics"][name] for name in comparison["in_use"]}
    assert comparison["in_use"] == pytest.approx(recorded)
    assert comparison["in_use"]["accuracy"] == 1.0
