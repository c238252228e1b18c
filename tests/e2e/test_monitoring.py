"""The chart's Prometheus scrapes the replicas, and every rule and panel has data."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from sklearn.datasets import load_iris

from tests.e2e.cluster import CHART, Cluster
from tests.e2e.conftest import Note
from tests.e2e.forward import open_api
from tests.e2e.prometheus import Prometheus
from tests.e2e.waiting import wait_until
from tests.support.promql import selectors

RULES = yaml.safe_load((CHART / "files/rules.yaml").read_text())["groups"]

NOTHING_TO_SHOW = {
    "overview: Failed with 5xx, by route": "nothing in these tests fails by the service's fault",
}
"""Panels that are empty in a healthy release, with the reason."""


def _panels() -> dict[str, list[str]]:
    """Return the queries of each panel, and those of the variables."""
    found = {}
    for path in sorted((CHART / "files/dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                title = f"{path.stem}: {panel['title']}"
                found[title] = [target["expr"] for target in panel["targets"]]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                series = re.sub(r"label_values\((.*), (\w+)\)", r"\1", variable["definition"])
                found[f"{path.stem}: variable {variable['name']}"] = [series]
    return found


PANELS = _panels()


@pytest.fixture(scope="module")
def used(prometheus: Prometheus, release: Cluster) -> Iterator[Prometheus]:
    """Return Prometheus after valid and invalid requests, before and after a scrape.

    A counter's first sample is no increase yet, so the first round only makes every series appear.
    A second version stands beside the one in use until the tests are over.
    """
    failed = 'service_trainings_total{namespace="$namespace",job="$job",state="failed"}'
    with open_api(release) as api:
        for _ in range(2):
            (before,) = prometheus.query(f"sum({failed}) or vector(0)")
            version = _use(api)
            prometheus.wait_for(f"sum({failed}) > {before['value'][1]}")
        _put_beside(api, version)
        try:
            _compare(api, prometheus)
            yield prometheus
        finally:
            wait_until("the end of the second version", lambda: _is_alone(api), 60)


def _use(api: httpx.Client) -> int:
    """Train, fail to train, put a version in use, and send valid and invalid predictions.

    Return the version of `spare` that was trained.
    """
    order = {"name": "spare", "model_type": "GaussianNB", "dataset": "iris", "use": False}
    trained = api.post("/train", json=order)
    assert trained.status_code == 201, trained.text
    # This solver does not support three classes, which only the fit finds out.
    order = {"name": "hopeless", "model_type": "LogisticRegression", "dataset": "iris"}
    hopeless = api.post("/train", json={**order, "params": {"solver": "liblinear"}})
    assert hopeless.status_code == 400, hopeless.text
    # The same version again, as the series of another one would begin, not increase.
    in_use = api.get("/use-model").json()
    same = {"name": in_use["name"], "version": in_use["version"]}
    assert api.post("/use-model", json=same).status_code == 200
    example = api.get("/schema").json()["example"]
    for _ in range(20):
        assert api.post("/predict", json=example).status_code == 200
        assert api.post("/predict", json={"instances": []}).status_code == 400
    # As many rows as a verdict needs, and what was really so; the starter model is of iris.
    iris = load_iris()
    instances = iris.data.tolist()
    assert api.post("/predict", json={"instances": instances * 4}).status_code == 200
    labels = iris.target_names[iris.target].tolist()
    truth = {"version": in_use["version"], "instances": instances, "labels": labels}
    assert api.post("/outcomes", json=truth).status_code == 200
    number: int = trained.json()["version"]
    return number


def _put_beside(api: httpx.Client, version: int) -> None:
    """Put a version of `spare` beside the one in use, with rules that decide nothing."""
    rules = {"rows": 1, "agreement": 0.5, "then": "ask", "else": "ask"}
    body = {"name": "spare", "version": version, "mode": "shadow", "percent": 100, "rules": rules}
    put = api.put("/traffic", json=body)
    assert put.status_code in (200, 202), put.text


def _is_alone(api: httpx.Client) -> bool:
    """End the traffic to the second version; return whether there is none now."""
    try:
        return api.delete("/traffic").status_code in (200, 404)
    except httpx.TransportError:
        return False  # the replicas have just been started again


def _compare(api: httpx.Client, prometheus: Prometheus) -> None:
    """Have rows compared and timed before and after a scrape, and the rules looked at."""
    release = '{namespace="$namespace",job="$job"}'
    timed = f"sum(service_traffic_row_seconds_count{release})"
    example = api.get("/schema").json()["example"]
    compared = "0"
    for _ in range(2):
        for _ in range(20):
            assert api.post("/predict", json=example).status_code == 200
        (found,) = prometheus.wait_for(f"{timed} > {compared}")
        compared = found["value"][1]
    prometheus.wait_for(f"service_traffic_rule{release}", 2 * 60)


def test_every_replica_is_scraped_once(prometheus: Prometheus, release: Cluster) -> None:
    """By its pod's address, with the labels that the rules and dashboards select by."""
    pods = {f"{pod.ip}:8000" for pod in release.ready_pods("api")}
    up = 'up{namespace="$namespace",job="$job"} == 1'

    def scraped() -> list[str]:
        return [each["metric"]["instance"] for each in prometheus.query(up)]

    wait_until("all replicas scraped", lambda: sorted(scraped()) == sorted(pods), 60, seen=scraped)


def test_the_rules_are_those_of_the_chart_and_evaluate(used: Prometheus) -> None:
    """Prometheus reports for each rule whether it could be evaluated."""

    def rules() -> dict[str, dict[str, Any]]:
        groups = used.get("rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def evaluated() -> bool:
        return all(rule["health"] != "unknown" for rule in rules().values())

    wait_until("every rule evaluated", evaluated, 60)
    expected = {rule.get("alert") or rule["record"] for group in RULES for rule in group["rules"]}
    assert set(rules()) == expected
    assert {
        name: rule.get("lastError") for name, rule in rules().items() if rule["health"] != "ok"
    } == {}


@pytest.mark.parametrize(
    "record", [rule["record"] for group in RULES for rule in group["rules"] if "record" in rule]
)
def test_every_recording_rule_has_a_value(used: Prometheus, record: str) -> None:
    """A ratio with missing parts would have no value, and its alert would never fire."""
    found = used.wait_for(record + '{namespace="$namespace",job="$job"}')
    assert len(found) == 1


@pytest.mark.parametrize(
    ("alert", "query"),
    [
        (rule["alert"], rule["expr"])
        for group in RULES
        for rule in group["rules"]
        if "alert" in rule
    ],
)
def test_every_metric_of_an_alert_exists(used: Prometheus, alert: str, query: str) -> None:
    """Each metric is scraped, so an alert that does not fire means that all is well."""
    metrics = {selector.metric for selector in selectors(re.sub(r"\$\{\w+\}", "1", query))}
    assert metrics, alert
    for metric in metrics:
        used.wait_for(metric + '{namespace="$namespace",job="$job"}')


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_has_data(used: Prometheus, panel: str) -> None:
    """Each query of a panel finds a series with a number, or is exempt by name."""
    for query in PANELS[panel]:
        if panel in NOTHING_TO_SHOW:
            assert used.query(query) == [], f"{panel} has something to show after all"
        else:
            used.wait_for(query)


def test_every_excused_panel_exists() -> None:
    """A renamed panel loses its exemption."""
    assert NOTHING_TO_SHOW.keys() <= PANELS.keys()


def test_a_total_outage_pages_within_two_minutes(
    prometheus: Prometheus, release: Cluster, note: Note
) -> None:
    """Counted from the moment when no replica is left."""
    fires = 'ALERTS{alertname="DesafioDown",alertstate="firing",namespace="$namespace"}'
    assert prometheus.query(fires) == []
    with release.without("api"):
        start = time.monotonic()
        found = prometheus.wait_for(fires, 120)
        note(f"DesafioDown fired after {time.monotonic() - start:.0f} s")
    (alert,) = found
    assert alert["metric"]["severity"] == "critical"
