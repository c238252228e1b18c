"""Options of the chart's pods, and how clients outside of the cluster reach it."""

import importlib
from typing import Any

import pytest
import yaml

from tests.support.chart import CHART, RELEASE, needs_helm, of_kind, pods, refusal, render
from tools import chart_readme

PARTS = ("api", "mlflow", "postgres", "minio")
OPTIONS: dict[str, Any] = {
    "labels": {"team": "fraud", "app.kubernetes.io/component": "other"},
    "annotations": {"example.com/note": "kept"},
    "priorityClassName": "high",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
}


def _workload(part: str, **values: Any) -> dict[str, Any]:
    found = render(values=values)
    both = of_kind(found, "Deployment") | of_kind(found, "StatefulSet")
    return both[f"{RELEASE}-{part}"]


@needs_helm
@pytest.mark.parametrize("part", PARTS)
def test_every_part_takes_the_options_of_pods(part: str) -> None:
    workload = _workload(part, **{part: OPTIONS})
    template = workload["spec"]["template"]
    meta, spec = template["metadata"], template["spec"]

    assert meta["labels"]["team"] == "fraud"
    assert meta["annotations"]["example.com/note"] == "kept"
    for name in ("priorityClassName", "nodeSelector", "tolerations", "affinity",
                 "topologySpreadConstraints"):  # fmt: skip
        assert spec[name] == OPTIONS[name]
    assert OPTIONS["extraEnv"][0] in spec["containers"][0]["env"]


@needs_helm
@pytest.mark.parametrize("part", PARTS)
def test_a_given_label_takes_the_place_of_none_by_which_pods_are_selected(part: str) -> None:
    workload = _workload(part, **{part: OPTIONS})

    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == part
    assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()


@needs_helm
def test_pods_of_the_api_prefer_several_zones_unless_a_spread_is_given() -> None:
    (rule,) = _workload("api")["spec"]["template"]["spec"]["topologySpreadConstraints"]

    assert rule["topologyKey"] == "topology.kubernetes.io/zone"
    assert rule["whenUnsatisfiable"] == "ScheduleAnyway"


@needs_helm
def test_a_setting_of_the_service_is_refused_among_the_variables() -> None:
    refused = refusal(values={"api": {"extraEnv": [{"name": "SERVICE_PORT", "value": "1"}]}})

    assert "api.extraEnv has SERVICE_PORT" in refused
    assert "put it in api.settings" in refused


@needs_helm
def test_accounts_are_the_parts_own_and_have_no_token() -> None:
    annotated = {"annotations": {"eks.amazonaws.com/role-arn": "arn"}}
    found = render(values={"mlflow": {"serviceAccount": annotated}})
    accounts = of_kind(found, "ServiceAccount")

    assert set(accounts) == {f"{RELEASE}-api", f"{RELEASE}-mlflow"}
    assert not any(one["automountServiceAccountToken"] for one in accounts.values())
    assert accounts[f"{RELEASE}-mlflow"]["metadata"]["annotations"] == annotated["annotations"]
    used = {name: spec.get("serviceAccountName") for name, spec in pods(found)}
    assert used[f"{RELEASE}-api"] == f"{RELEASE}-api"
    assert used[f"{RELEASE}-mlflow"] == f"{RELEASE}-mlflow"
    assert of_kind(found, "Role") == {}


@needs_helm
def test_an_account_of_ones_own_takes_their_place() -> None:
    own = {"serviceAccount": {"create": False, "name": "mine"}}
    found = render(values={"api": own, "mlflow": {"serviceAccount": {"create": False}}})

    assert of_kind(found, "ServiceAccount") == {}
    used = {name: spec.get("serviceAccountName") for name, spec in pods(found)}
    assert (used[f"{RELEASE}-api"], used[f"{RELEASE}-mlflow"]) == ("mine", "default")


@needs_helm
def test_an_identity_of_the_cloud_takes_the_place_of_keys_for_s3() -> None:
    outside = {"enabled": False, "bucket": "mlflow"}
    account = {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}}}
    found = render("networkPolicy.enabled=false", values={"minio": outside, "mlflow": account})

    (server,) = dict(pods(found))[f"{RELEASE}-mlflow"]["containers"]
    names = {one["name"] for one in server["env"]}
    assert "MLFLOW_ARTIFACTS_DESTINATION" in names
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & names


@needs_helm
def test_by_default_nothing_outside_leads_to_the_api() -> None:
    found = render()

    assert of_kind(found, "HTTPRoute") == {}
    assert of_kind(found, "Ingress") == {}


@needs_helm
def test_a_gateway_leads_to_the_service() -> None:
    gateway = {"name": "public", "namespace": "gateways"}
    route = {"enabled": True, "parentRefs": [gateway], "hostnames": ["desafio.example.com"]}
    found = render("api.service.port=8080", values={"api": {"httpRoute": route}})

    spec = of_kind(found, "HTTPRoute")[f"{RELEASE}-api"]["spec"]
    assert spec["parentRefs"] == [gateway]
    assert spec["hostnames"] == ["desafio.example.com"]
    assert spec["rules"] == [{"backendRefs": [{"name": f"{RELEASE}-api", "port": 8080}]}]


@needs_helm
def test_a_route_without_a_gateway_is_refused() -> None:
    assert "api.httpRoute.parentRefs must name a Gateway" in refusal("api.httpRoute.enabled=true")


@needs_helm
@pytest.mark.parametrize("hosts", [[], ["a.example.com", "b.example.com"]])
def test_an_ingress_leads_to_the_service(hosts: list[str]) -> None:
    tls = [{"secretName": "certificate", "hosts": ["a.example.com"]}]
    ingress = {"enabled": True, "className": "nginx", "hosts": hosts, "tls": tls}
    found = render(values={"api": {"ingress": ingress}})

    spec = of_kind(found, "Ingress")[f"{RELEASE}-api"]["spec"]
    assert (spec["ingressClassName"], spec["tls"]) == ("nginx", tls)
    assert [rule["host"] for rule in spec["rules"] if "host" in rule] == hosts
    assert len(spec["rules"]) == max(1, len(hosts))
    for rule in spec["rules"]:
        (path,) = rule["http"]["paths"]
        assert path["backend"]["service"] == {"name": f"{RELEASE}-api", "port": {"name": "http"}}


@needs_helm
@pytest.mark.parametrize("wrong", ["api.ingress.hosts={http://a}", "api.httpRoute.hostnames={A b}"])
def test_a_host_that_is_none_is_refused(wrong: str) -> None:
    assert wrong.partition("=")[0].replace(".", "/") in refusal(wrong)


@needs_helm
def test_what_was_deleted_is_removed_by_mlflow_itself_where_asked() -> None:
    assert of_kind(render(), "CronJob") == {}
    found = render("mlflow.gc.enabled=true", "mlflow.gc.olderThan=12h")

    job = of_kind(found, "CronJob")[f"{RELEASE}-gc"]["spec"]
    (container,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][2:] == ["gc"]
    assert container["args"][0] == "--older-than=12h"
    assert {"name": "MLFLOW_TRACKING_URI", "value": f"http://{RELEASE}-mlflow:5000"} in (
        container["env"]
    )
    assert job["concurrencyPolicy"] == "Forbid"


@needs_helm
@pytest.mark.parametrize("wrong", ["soon", "30", "d"])
def test_an_age_that_is_none_is_refused(wrong: str) -> None:
    assert "mlflow/gc/olderThan" in refusal(f"mlflow.gc.olderThan={wrong}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p@db-rw:5432/app", "postgresql+psycopg2://u:p@db-rw:5432/app"),
        ("postgres://u:p@db/app", "postgresql+psycopg2://u:p@db/app"),
        ("postgresql+psycopg2://u@db/app", "postgresql+psycopg2://u@db/app"),
        ("postgresql+psycopg://u@db/app", "postgresql+psycopg://u@db/app"),
        ("mysql+pymysql://u:postgres://@db/app", "mysql+pymysql://u:postgres://@db/app"),
    ],
)
def test_the_address_of_a_database_gets_the_driver_that_the_image_has(
    given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(CHART / "files/mlflow"))

    assert importlib.import_module("with_driver").with_driver(given) == expected


def test_the_readme_is_that_of_the_values() -> None:
    assert (CHART / "README.md").read_text() == chart_readme.readme()


def test_the_readme_has_every_value_with_its_default() -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    told = {one.path for one in chart_readme.values((CHART / "values.yaml").read_text())}

    def bare(values: dict[str, Any], above: str = "") -> list[str]:
        paths: list[str] = []
        for key, value in values.items():
            path = above + key
            if path in told and not (isinstance(value, dict) and _has_parts(path, told)):
                continue
            paths += bare(value, f"{path}.") if isinstance(value, dict) and value else [path]
        return paths

    assert bare(defaults) == []


def _has_parts(path: str, told: set[str]) -> bool:
    return any(one.startswith(f"{path}.") for one in told)


def test_the_images_that_are_told_to_artifact_hub_are_those_of_the_values() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    told = {one["image"] for one in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])}
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    parts = [values, values["postgres"], values["minio"]]
    parts += [values["monitoring"][name] for name in ("prometheus", "grafana")]

    images = {
        f"{one['image']['repository']}:{one['image']['tag'] or chart['appVersion']}"
        for one in parts
    }
    assert told == images
