"""`/outcomes` in JSON: the version answers again, and what is counted is how right it is."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import binomtest
from sklearn import metrics

from service.common.outcomes import OutcomeCounts
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.churn import INSTANCES, ROWS, TRUTH, tell, today, told
from tests.support.columnar import encoded
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.stores import with_tables


def test_the_figures_are_those_of_the_answers_that_the_version_gives(client: Client) -> None:
    answers = client.predict({"instances": INSTANCES, "probabilities": True}).json()

    reply = told(client)

    predicted, chances = answers["predictions"], np.array(answers["probabilities"])
    labels = answers["classes"]
    assert {key: reply[key] for key in ("name", "version", "day", "rows")} == {
        "name": "churn",
        "version": 1,
        "day": today(),
        "rows": 200,
    }
    found = reply["outcomes"]
    assert (found["rows"], found["classes"]) == (200, labels)
    assert found["confusion"] == metrics.confusion_matrix(TRUTH, predicted).tolist()
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(TRUTH, predicted))
    assert found["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(TRUTH, predicted)
    )
    assert found["f1"] == pytest.approx(metrics.f1_score(TRUTH, predicted, average="macro"))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(TRUTH, chances))
    brier = metrics.brier_score_loss(TRUTH, chances, labels=labels, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier)
    largest = chances.max(axis=1)
    right = np.array(labels)[chances.argmax(axis=1)] == TRUTH
    assert sum(one["rows"] for one in found["calibration"]) == 200
    for one in found["calibration"]:
        inside = (largest > one["from"]) & (largest <= one["to"])
        assert one["rows"] == inside.sum()
        assert one["predicted"] == pytest.approx(largest[inside].mean())
        assert one["observed"] == pytest.approx(right[inside].mean())
        interval = binomtest(int(right[inside].sum()), one["rows"]).proportion_ci(method="wilson")
        assert (one["low"], one["high"]) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_outcomes_are_listed_by_day_and_version_with_the_metrics_of_the_training(
    client: Client, registry: FakeRegistry
) -> None:
    trained = client.train(
        name="churn",
        model_type="GaussianNB",
        dataset={"records": ROWS},
        target="churned",
        use=False,
    )
    version = registry.versions["churn", 1]
    counts = OutcomeCounts(2, 4, ("no", "yes"), ((1, 1), (0, 2)))
    told(client)
    record = registry.list_outcomes(today(), version.identity)[0]
    days = [(datetime.now(UTC) - timedelta(days=ago)).date().isoformat() for ago in (1, 2, 40)]
    for day in days:
        registry.write_outcomes(replace(record, id="", day=day, counts=counts), None)
    registry.write_outcomes(replace(record, id="", day=days[0], counts=counts), None)
    told(client, version=trained["version"])

    every = client.get("/outcomes?name=churn").json()
    one = client.get("/outcomes?version=1&days=2").json()

    shown = [(item["day"], item["version"], item["rows"]) for item in every["outcomes"]]
    assert shown == [
        (today(), trained["version"], 200),
        (today(), 1, 200),
        (days[0], 1, 8),  # two replicas
        (days[1], 1, 4),
    ]
    assert every["training"] == trained["metrics"]
    assert [(item["day"], item["version"]) for item in one["outcomes"]] == [
        (today(), 1),
        (days[0], 1),
    ]
    assert one["training"] == client.get("/models/churn/versions/1").json()["metrics"]
    assert one["outcomes"][1]["log_loss"] is None
    assert one["outcomes"][1]["balanced_accuracy"] == pytest.approx(0.75)


def test_a_version_without_outcomes_has_an_empty_list_and_its_training(client: Client) -> None:
    shown = client.get("/outcomes?version=1").json()

    assert shown["outcomes"] == []
    assert shown["training"]["accuracy"] > 0.5
    assert client.get("/outcomes").json() == {"outcomes": [], "training": None}


def test_no_instance_is_stored(
    client: Client, registry: FakeRegistry, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marked = [{**INSTANCES[0], "age": 1234.5678}]
    body, kind = encoded([{**ROWS[0], "age": 1234.5678}], "csv")

    told(client, instances=marked, labels=TRUTH[:1])
    client.post("/outcomes?version=1", content=body, headers={"content-type": kind})

    assert client.get("/outcomes").json()["outcomes"][0]["rows"] == 2
    files = [path for top in (registry.folder, data) for path in top.rglob("*") if path.is_file()]
    assert len(files) > 4
    assert not any(b"1234.5678" in path.read_bytes() for path in files)
    assert "1234" not in repr(registry.outcomes) + repr(registry.receipts) + caplog.text


def test_the_same_key_and_body_count_once(client: Client, registry: FakeRegistry) -> None:
    registry.receipts.clear()
    key = {"idempotency-key": "monday"}
    body = {"version": 1, "instances": INSTANCES[:9], "labels": TRUTH[:9]}

    first = client.post("/outcomes", json=body, headers=key)
    turned = [*TRUTH[:8], "no" if TRUTH[8] == "yes" else "yes"]
    other = client.post("/outcomes", json={**body, "labels": turned}, headers=key)
    told(client, instances=INSTANCES[:1], labels=TRUTH[:1])
    again = client.post("/outcomes", json=body, headers=key)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["rows"] == 9
    assert again.json()["outcomes"]["rows"] == 10
    assert (other.status_code, other.json()["type"]) == (409, "/problems/idempotency-conflict")


WRONG: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "an unknown key": ({"instance": []}, {"/instance": "did you mean 'instances'"}),
    "no version": ({"version": None}, {"/version": "is missing"}),
    "a version that is true": ({"version": True}, {"/version": "should be a valid integer"}),
    "version 0": ({"version": 0}, {"/version": "greater than or equal to 1"}),
    "a version of ten digits": ({"version": 10**9}, {"/version": "less than or equal to 9999"}),
    "a bad data set": ({"append_to": ".."}, {"/append_to": "must be 1 to 128 of A-Z"}),
    "much at once": (
        {"version": None, "name": 1, "label": [], "instances": {}, "labels": []},
        {"/version": "is missing", "/name": "should be a valid string", "/label": "did you mean",
         "/instances": "must be a list of instances", "/labels": "is empty"},
    ),
    "a bad name": ({"name": "a/b"}, {"/name": "must be 1 to 256 characters"}),
    "no labels": ({"labels": None}, {"/labels": "is missing"}),
    "labels that are none": ({"labels": "no"}, {"/labels": "must be a list"}),
    "fewer labels": ({"labels": TRUTH[:3]}, {"/labels": "has 3 labels for 200 instances"}),
    "nothing": (
        {"instances": [], "labels": []},
        {"/instances": "is empty", "/labels": "is empty"},
    ),
    "unknown labels": (
        {"labels": ["yse", *TRUTH[1:-1], "maybe"]},
        {"/labels/0": "did you mean 'yes'", "/labels/199": "is no class"},
    ),
    "a label that is null": ({"labels": [None, *TRUTH[1:]]}, {"/labels/0": "is missing"}),
    "a label that is a list": ({"labels": [[1], *TRUTH[1:]]}, {"/labels/0": "no class"}),
    "a wrong instance and a wrong label": (
        {"instances": [{**INSTANCES[0], "city": "Lima"}, *INSTANCES[1:]],
         "labels": [*TRUTH[:-1], 1]},
        {"/instances/0/city": "training did not see", "/labels/199": "no class"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_outcomes_are_refused_with_every_problem_and_nothing_is_counted(
    client: Client, registry: FakeRegistry, case: str
) -> None:
    changes, expected = WRONG[case]

    response = tell(client, **changes)

    assert response.status_code == 400, response.text
    problems = {one["pointer"]: one["message"] for one in response.json()["errors"]}
    assert set(problems) == set(expected)
    for pointer, message in expected.items():
        assert message in problems[pointer]
    assert not registry.outcomes


def test_a_key_that_is_null_is_left_out_unless_it_is_unknown(client: Client) -> None:
    body = {"version": 1, "instances": INSTANCES[:1], "labels": TRUTH[:1]}

    missing = client.post("/outcomes", json={**body, "version": None})
    unknown = client.post("/outcomes", json={**body, "label": None})

    assert client.post("/outcomes", json={**body, "name": None}).status_code == 200
    assert missing.json()["errors"] == [{"pointer": "/version", "message": "is missing"}]
    assert [one["pointer"] for one in unknown.json()["errors"]] == ["/label"]


def test_labels_have_the_type_of_the_classes(served: Client) -> None:
    rows = {"columns": ["x", "y"], "rows": [[at, at % 2] for at in range(20)]}
    result = served.train(
        name="whole", model_type="GaussianNB", dataset=rows, target="y", use=False
    )
    sent = {"name": "whole", "version": result["version"], "instances": [[1.0], [2.0]]}

    good = served.post("/outcomes", json={**sent, "labels": [0, 1]})
    texts = served.post("/outcomes", json={**sent, "labels": ["0", True]})
    csv = served.post(
        f"/outcomes?name=whole&version={result['version']}",
        content="x,y\n1,0\n2,1.0\n",
        headers={"content-type": "text/csv"},
    )

    assert good.status_code == 200
    assert texts.status_code == 400
    assert [one["pointer"] for one in texts.json()["errors"]] == ["/labels/0", "/labels/1"]
    assert "is '0' as a text" in texts.json()["errors"][0]["message"]
    assert csv.status_code == 200, csv.text
    assert csv.json()["outcomes"]["rows"] == 4


def outcomes_of(served: Client, name: str, model_type: str) -> dict[str, Any]:
    """Train a version of this type beside the one in use; return what is told of its outcomes."""
    result = served.train(
        name=name, model_type=model_type, dataset={"records": ROWS}, target="churned", use=False
    )
    outcomes: dict[str, Any] = told(served, name=name, version=result["version"])["outcomes"]
    return outcomes


def test_a_version_without_probabilities_has_no_losses(served: Client) -> None:
    found = outcomes_of(served, "unsure", "LinearSVC")

    assert (found["log_loss"], found["brier"], found["calibration"]) == (None, None, None)
    assert found["accuracy"] > 0.5


def test_a_native_version_answers_too(served: Client) -> None:
    found = outcomes_of(served, "near", "KNeighborsClassifier")

    assert found["log_loss"] is not None
    assert sum(one["rows"] for one in found["calibration"]) == 200


def test_versions_and_models_that_are_not_there_are_not_found(client: Client) -> None:
    for changes in ({"version": 99}, {"name": "nobody"}, {"name": "in-use"}):
        assert tell(client, **changes).status_code == 404
    for query in ("name=nobody", "version=99", "name=in-use", "name=nobody&version=1"):
        assert client.get(f"/outcomes?{query}").status_code == 404


@pytest.mark.parametrize(
    "query", ["days=0", "days=367", "days=x", "version=0", "name=a/b", "day=1"]
)
def test_a_query_that_is_not_documented_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/outcomes?{query}").status_code == 400


def test_more_rows_than_a_prediction_may_have_are_too_many(client: Client) -> None:
    response = tell(client, instances=INSTANCES * 3, labels=TRUTH * 3)

    assert response.status_code == 413


def test_while_mlflow_is_away_nothing_is_counted(client: Client, registry: FakeRegistry) -> None:
    registry.down = True

    assert tell(client).status_code == 503
    assert client.get("/outcomes").status_code == 503
    assert not registry.outcomes


def test_prometheus_counts_rows_by_predicted_and_true_class(client: Client) -> None:
    def counted() -> dict[tuple[str, str], float]:
        return {
            (sample.labels["label"], sample.labels["predicted"]): sample.value
            for family in text_string_to_metric_families(client.get("/metrics").text)
            for sample in family.samples
            if sample.name == "service_outcomes_total"
        }

    before = counted()
    found = told(client)["outcomes"]

    labels = found["classes"]
    for label, row in zip(labels, found["confusion"], strict=True):
        for predicted, rows in zip(labels, row, strict=True):
            key = label, predicted
            assert counted().get(key, 0.0) == before.get(key, 0.0) + rows


def test_outcomes_outlive_the_service_and_replicas_add_up(tmp_path: Path) -> None:
    store = with_tables(tmp_path / "store")
    body = {"version": 1, "instances": [[5.1, 3.5, 1.4, 0.2]] * 3, "labels": ["setosa"] * 3}
    key = {"idempotency-key": "once"}
    for _ in range(2):
        with serve(settings_for(tmp_path / "data"), MlflowRegistry("", store)) as client:
            if not client.get("/models").json()["models"]:
                client.train(dataset="iris", model_type="GaussianNB")
            assert client.post("/outcomes", json=body).status_code == 200
            reply = client.post("/outcomes", json=body, headers=key)
            assert reply.status_code == 200, reply.text
            listed = client.get("/outcomes").json()

    assert reply.json()["rows"] == 3
    (day,) = listed["outcomes"]
    assert day == reply.json()["outcomes"]
    assert (day["rows"], day["confusion"]) == (9, [[9, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert json.dumps(listed["training"])
