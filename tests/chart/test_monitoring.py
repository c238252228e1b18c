"""The chart's rules and dashboards against the metrics that the service exposes."""

import json
import re
import subprocess
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import yaml
from prometheus_client import Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.api.problems import PLAIN, TABLE
from service.common.domain import TrainingState, Use
from service.common.metrics import LATENCY_BUCKETS, OUTCOMES, Metrics
from service.common.traffic import Compared, Rules
from service.rollout.traffic_collector import OUTCOMES as COMPARED
from service.rollout.traffic_collector import TrafficCollector
from service.serving.current_model import CurrentModel, LoadedVersion
from service.skew.collector import SkewCollector
from service.skew.tallies import Tallies
from service.traffic.rules import judge
from tests.support.alerts import needs_promtool, rule_groups, rules
from tests.support.chart import CHART, NAMESPACE, RELEASE, Resource, needs_helm, of_kind, render
from tests.support.compared import traffic, version
from tests.support.fakes import make_version
from tests.support.promql import grouped_by, selectors
from tests.support.references import FAR_MORE, MIXED, FakeClock, mixed_rows, reference_of
from tests.support.server import Client

pytestmark = needs_helm

DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in (CHART / "files/dashboards").glob("*.json")
}
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
TARGET_LABELS = {"namespace", "job", "instance"}
"""Labels that Prometheus puts on whatever it scrapes here."""

OWN_METRICS = {"up": TARGET_LABELS, "ALERTS": {"alertname", "alertstate", *TARGET_LABELS}}
"""Metrics that Prometheus itself makes."""


def _exposed() -> dict[str, set[str]]:
    """Scrape a `Metrics()` in which each metric was used once; return the labels of each name."""
    metrics = Metrics()
    metrics.predict.open("m", 1)["ok"].observe(0.01, rows=1)
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge) and metric._labelnames:
            metric.labels(*metric._labelnames)
    metrics.registry.register(_asked())
    metrics.registry.register(_beside())
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    found: dict[str, set[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        if not sample.name.endswith("_created"):  # every counter has one, and it is not needed here
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _asked() -> SkewCollector:
    """Return what shows the rows that a version was asked, enough for each of its metrics."""
    rows = mixed_rows(1000)
    tallies = Tallies(FAR_MORE, FakeClock())
    tally = tallies.open(make_version(), *reference_of(MIXED, rows, np.full(2, 50)))
    assert tally is not None
    tally.add_matrix(rows, np.zeros(len(rows), int), None)
    collector = SkewCollector(tallies, lambda: tally)
    collector.refresh()
    return collector


def _beside() -> TrafficCollector:
    """Return what shows a second version with rules."""
    beside, judgement = traffic(), judge(Rules(rows=1, agreement=0.9), Compared())
    current_model = CurrentModel()
    second = LoadedVersion(version(), 7, "")
    current_model.swap(LoadedVersion(version(), 7, "", beside, second))
    use = Use.begin(7, make_version(), "a test", 1.8e9, traffic=beside)
    return TrafficCollector(current_model, lambda: use, lambda _: Compared(), lambda _: judgement)


def _panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def _queries() -> dict[str, str]:
    """Return each query of the rules and dashboards by its location."""
    queries = {
        name: rule["expr"] for key in ("record", "alert") for name, rule in rules(key).items()
    }
    for name, dashboard in DASHBOARDS.items():
        for panel in _panels(dashboard):
            for target in panel["targets"]:
                queries[f"{name}: {panel['title']} {target['refId']}"] = target["expr"]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                inner = re.sub(
                    r"label_values\((.*), (\w+)\)", r"sum by (\2) (\1)", variable["definition"]
                )
                queries[f"{name}: variable {variable['name']}"] = inner
    return queries


def test_every_query_names_only_metrics_and_labels_that_the_service_exposes() -> None:
    known = {**_exposed(), **OWN_METRICS}
    for name, rule in rules("record").items():
        known[name] = grouped_by(rule["expr"]) or {"namespace", "job"}

    queries = _queries()
    assert len(queries) > 60
    for place, query in queries.items():
        found = list(selectors(query))
        assert found, place
        for selector in found:
            assert selector.metric in known, f"{place}: no metric {selector.metric}"
            labels = known[selector.metric] | TARGET_LABELS
            used = {matcher.label for matcher in selector.matchers}
            assert used <= labels, f"{place}: {selector.metric} has no {used - labels}"
        anywhere = set().union(*(known[selector.metric] for selector in found)) | TARGET_LABELS
        assert grouped_by(query) <= anywhere, f"{place}: {grouped_by(query) - anywhere}"


def test_every_query_asks_for_values_that_the_service_gives(client: Client) -> None:
    routes = {*client.get("/openapi.json").json()["paths"], "edge", "unmatched"}
    slugs = {slug for _, slug, _ in TABLE.values()} | {slug for slug, _ in PLAIN.values()}
    bounds = {sample for sample in _bounds(client) if sample != "+Inf"}
    values = {
        "route": routes,
        "reason": slugs,
        "state": set(get_args(TrainingState)),
        "outcome": {*OUTCOMES, *COMPARED, "inside", "below", "above", "missing", "unseen"},
        "le": bounds,
    }
    asked = set()
    for place, query in _queries().items():
        for selector in selectors(query):
            for matcher in selector.matchers:
                if matcher.label in values:
                    asked.add(matcher.label)
                    alternatives = set(matcher.value.split("|"))
                    assert alternatives <= values[matcher.label], f"{place}: {matcher}"
    assert asked == values.keys()


def _bounds(client: Client) -> set[str]:
    client.predict({"instances": [[5.1, 3.5, 1.4, 0.2]]})
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {s.labels["le"] for s in samples if s.name == "service_predict_seconds_bucket"}


def test_every_query_asks_for_one_release_alone() -> None:
    ours = (f'namespace="{NAMESPACE}"', f'job="{RELEASE}-api"')
    for place, query in _queries().items():
        dashboard = ": " in place
        if "variable" in place:
            continue
        for selector in selectors(query):
            pinned = {f'{m.label}{m.operator}"{m.value}"' for m in selector.matchers}
            expected = {'namespace="$namespace"', 'job="$job"'} if dashboard else set(ours)
            assert expected <= pinned, f"{place}: {selector}"


def test_every_alert_says_what_it_is_and_where_help_stands() -> None:
    for name, rule in rules("alert").items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert {"summary", "description", "runbook_url"} == rule["annotations"].keys(), name
        assert "$labels.namespace" in rule["annotations"]["description"], name


def test_the_runbook_has_a_heading_for_each_alert_and_no_other() -> None:
    headings = re.findall(r"^### (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    alerts = rules("alert")

    assert sorted(headings) == sorted(alerts)
    for name, rule in alerts.items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_names_only_metrics_and_values_that_there_are() -> None:
    text = RUNBOOK.read_text()
    metrics = set(re.findall(r"\b(?:service|process)_[a-z_]+\b", text))
    known = {*_exposed()}
    assert metrics
    assert metrics <= known, metrics - known
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in re.findall(r"`((?:api|monitoring|mlflow)(?:\.\w+)+)`", text):
        node: Any = values
        for key in path.split("."):
            assert isinstance(node, dict), path
            assert key in node, path
            node = node[key]


def test_the_runbook_base_can_be_set() -> None:
    base = "https://wiki.example.com/desafio"
    rendered = render(
        "monitoring.prometheusRule.enabled=true", f"monitoring.prometheusRule.runbookUrl={base}"
    )
    groups = of_kind(rendered, "PrometheusRule")[f"{RELEASE}-api"]["spec"]["groups"]
    urls = [r["annotations"]["runbook_url"] for g in groups for r in g["rules"] if "alert" in r]
    assert urls
    assert all(url.startswith(f"{base}#desafio") for url in urls)


def test_every_threshold_is_used_and_every_name_in_the_rules_is_put_in() -> None:
    text = (CHART / "files/rules.yaml").read_text()
    names = set(re.findall(r"\$\{(\w+)\}", text))
    values = yaml.safe_load((CHART / "values.yaml").read_text())["monitoring"]["prometheusRule"]

    assert names == {"selector", "runbook", *values["thresholds"]}
    assert "${" not in json.dumps(rule_groups())
    assert values["thresholds"]["latencySeconds"] in LATENCY_BUCKETS


def test_a_threshold_changes_its_rule() -> None:
    rendered = render(
        "monitoring.prometheusRule.enabled=true",
        "monitoring.prometheusRule.thresholds.epochSeconds=15",
        "monitoring.prometheusRule.thresholds.latencySeconds=0.25",
    )
    groups = of_kind(rendered, "PrometheusRule")[f"{RELEASE}-api"]["spec"]["groups"]
    changed = {r.get("alert") or r["record"]: r for group in groups for r in group["rules"]}
    assert changed["DesafioEpochsDiffer"]["for"] == "15s"
    assert 'le="0.25"' in changed["service:predictions_slow:rate5m"]["expr"]


def test_nothing_of_monitoring_is_there_unless_asked_for() -> None:
    resources = render()
    assert not of_kind(resources, "ServiceMonitor")
    assert not of_kind(resources, "PrometheusRule")
    parts = {r["metadata"]["labels"].get("app.kubernetes.io/component") for r in resources}
    assert not parts & {"prometheus", "grafana", "dashboards"}


def test_the_service_monitor_selects_the_services_port_once() -> None:
    resources = render(
        "monitoring.serviceMonitor.enabled=true", "monitoring.serviceMonitor.labels.release=stack"
    )
    monitor = of_kind(resources, "ServiceMonitor")[f"{RELEASE}-api"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [
        service
        for service in of_kind(resources, "Service").values()
        if wanted <= service["metadata"]["labels"].items()
    ]
    (endpoint,) = monitor["spec"]["endpoints"]

    assert [service["metadata"]["name"] for service in services] == [f"{RELEASE}-api"]
    assert endpoint["port"] in {port["name"] for port in services[0]["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert monitor["metadata"]["labels"]["release"] == "stack"


def _standalone(*sets: str) -> list[Resource]:
    return render("monitoring.standalone=true", *sets)


def _prometheus_config(resources: list[Resource]) -> dict[str, Any]:
    data = of_kind(resources, "ConfigMap")[f"{RELEASE}-prometheus"]["data"]
    config: dict[str, Any] = yaml.safe_load(data["prometheus.yml"])
    return config


def test_the_standalone_prometheus_has_the_same_rules_as_the_operators() -> None:
    data = of_kind(_standalone(), "ConfigMap")[f"{RELEASE}-prometheus"]["data"]

    assert yaml.safe_load(data["rules.yaml"])["groups"] == rule_groups()
    config = yaml.safe_load(data["prometheus.yml"])
    assert [Path(file).name for file in config["rule_files"]] == ["rules.yaml"]


def test_the_standalone_prometheus_scrapes_every_replica_under_the_rules_labels() -> None:
    resources = _standalone()
    (scrape,) = _prometheus_config(resources)["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    (name,) = found["names"]
    service = of_kind(resources, "Service")[name]
    api = of_kind(resources, "Deployment")[f"{RELEASE}-api"]["spec"]["template"]
    ports = {
        port["name"]: port["containerPort"]
        for container in api["spec"]["containers"]
        for port in container.get("ports", [])
    }

    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= api["metadata"]["labels"].items()
    assert found["port"] == ports["http"]
    assert scrape["job_name"] == f"{RELEASE}-api"
    labels = {r["target_label"]: r["replacement"] for r in scrape["relabel_configs"]}
    assert labels == {"namespace": NAMESPACE}


def test_a_changed_rule_restarts_the_standalone_prometheus() -> None:
    def checksum(*sets: str) -> str:
        pod = of_kind(_standalone(*sets), "Deployment")[f"{RELEASE}-prometheus"]["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum("monitoring.grafana.enabled=false")
    assert checksum() != checksum("monitoring.prometheusRule.thresholds.refused=0.5")


def test_grafana_finds_prometheus_and_every_dashboard() -> None:
    resources = _standalone()
    maps = of_kind(resources, "ConfigMap")
    grafana = maps[f"{RELEASE}-grafana"]["data"]
    (source,) = yaml.safe_load(grafana["datasources.yaml"])["datasources"]
    (provider,) = yaml.safe_load(grafana["dashboards.yaml"])["providers"]
    pod = of_kind(resources, "Deployment")[f"{RELEASE}-grafana"]["spec"]["template"]["spec"]
    volumes = {v["name"]: v.get("configMap", {}).get("name") for v in pod["volumes"]}
    mounts = {m["mountPath"]: volumes[m["name"]] for m in pod["containers"][0]["volumeMounts"]}
    prometheus = of_kind(resources, "Service")[f"{RELEASE}-prometheus"]

    (port,) = prometheus["spec"]["ports"]
    assert source["url"] == f"http://{prometheus['metadata']['name']}:{port['port']}"
    assert mounts[provider["options"]["path"]] == f"{RELEASE}-dashboards"
    found = {name: json.loads(text) for name, text in maps[f"{RELEASE}-dashboards"]["data"].items()}
    assert found == {f"{name}.json": dashboard for name, dashboard in DASHBOARDS.items()}


def test_dashboards_alone_are_labelled_for_grafanas_sidecar() -> None:
    resources = render("monitoring.dashboards.enabled=true")
    labels = of_kind(resources, "ConfigMap")[f"{RELEASE}-dashboards"]["metadata"]["labels"]

    assert labels["grafana_dashboard"] == "1"
    assert f"{RELEASE}-grafana" not in of_kind(resources, "Deployment")


def test_grafana_can_be_left_out() -> None:
    resources = _standalone("monitoring.grafana.enabled=false")
    names = {resource["metadata"]["name"] for resource in resources}
    assert f"{RELEASE}-prometheus" in names
    assert not names & {f"{RELEASE}-grafana", f"{RELEASE}-dashboards"}


def test_grafanas_password_is_made_and_kept_or_comes_from_a_secret_that_is_there() -> None:
    def source(resources: list[Resource]) -> Any:
        pod = of_kind(resources, "Deployment")[f"{RELEASE}-grafana"]["spec"]["template"]["spec"]
        env = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
        return env["GF_SECURITY_ADMIN_PASSWORD"]["valueFrom"]["secretKeyRef"]

    made = _standalone()
    secret = of_kind(made, "Secret")[f"{RELEASE}-grafana"]
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert len(secret["data"]["admin-password"]) >= 32
    assert source(made) == {"name": f"{RELEASE}-grafana", "key": "admin-password"}

    given = _standalone("monitoring.grafana.existingSecret=ours")
    assert f"{RELEASE}-grafana" not in of_kind(given, "Secret")
    assert source(given) == {"name": "ours", "key": "admin-password"}


def test_prometheus_and_grafana_fit_the_restricted_profile() -> None:
    deployments = of_kind(_standalone(), "Deployment")
    for part, user in {"prometheus": 65534, "grafana": 472}.items():
        pod = deployments[f"{RELEASE}-{part}"]["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsUser"] == user
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_prometheus_reaches_the_api_and_grafana_reaches_prometheus_and_nothing_else() -> None:
    policies = of_kind(_standalone(), "NetworkPolicy")

    def edges(part: str, way: str, peer: str) -> set[tuple[str, int]]:
        return {
            (
                each["podSelector"]["matchLabels"]["app.kubernetes.io/component"],
                port["port"],
            )
            for rule in policies[f"{RELEASE}-{part}"]["spec"][way]
            for each in rule[peer]
            for port in rule["ports"]
        }

    assert edges("prometheus", "egress", "to") == {("api", 8000)}
    assert edges("prometheus", "ingress", "from") == {("grafana", 9090)}
    assert edges("grafana", "egress", "to") == {("prometheus", 9090)}
    assert edges("grafana", "ingress", "from") == set()
    without = of_kind(_standalone("networkPolicy.enabled=false"), "NetworkPolicy")
    assert not without


def test_dashboards_do_not_clash_and_explain_each_panel() -> None:
    uids = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
    assert len(uids) == len(set(uids)) >= 3
    for name, dashboard in DASHBOARDS.items():
        assert dashboard["description"], name
        assert dashboard["templating"]["list"][0]["type"] == "datasource"
        identifiers = [panel["id"] for panel in dashboard["panels"]]
        assert len(identifiers) == len(set(identifiers)), name
        for panel in _panels(dashboard):
            assert len(panel["description"]) > 20, (name, panel["title"])
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            references = [target["refId"] for target in panel["targets"]]
            assert len(references) == len(set(references)), (name, panel["title"])
        for one, other in combinations(dashboard["panels"], 2):
            assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    assert one["x"] + one["w"] <= 24
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not beside and not above


def test_every_metric_of_the_service_is_drawn_or_alerted_on() -> None:
    asked = {selector.metric for query in _queries().values() for selector in selectors(query)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in _exposed()}
    drawn = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    left_out = {"process_virtual_memory_bytes"}

    assert families - drawn == left_out


@needs_promtool
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(_prometheus_config(_standalone())))
    command = ["promtool", "check", "config", "--syntax-only", str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
