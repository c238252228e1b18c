"""The chart as Helm renders it: what every installation can rely on."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from service import __version__
from service.common.settings import PREFIX, Settings
from service.server.server import DRAIN_SECONDS
from tests.support.chart import (
    CHART,
    NAMESPACE,
    RELEASE,
    assert_restricted,
    containers,
    environment,
    needs_helm,
    of_kind,
    pods,
    refusal,
    render,
)

pytestmark = needs_helm

EVERYTHING = "monitoring.standalone=true"
VALUES = CHART.parents[1] / "k8s" / "values"
OWN_SETTINGS = {
    *("host", "port", "grpc_port", "data_dir"),
    *("mlflow_uri", "replicas", "peer_key", "api_keys_file"),
    *("executor", "job_template", "training_pods"),
}
"""What the chart sets itself, so that nobody else can."""


def api_pod(*sets: str) -> dict[str, Any]:
    pod: dict[str, Any] = of_kind(render(*sets), "Deployment")[f"{RELEASE}-api"]["spec"]["template"]
    return pod


def api_config(*sets: str) -> dict[str, str]:
    data: dict[str, str] = of_kind(render(*sets), "ConfigMap")[f"{RELEASE}-api"]["data"]
    return data


def test_every_pod_fits_pod_security_restricted() -> None:
    found = dict(pods(render(EVERYTHING)))

    assert len(found) == 12
    for name, spec in found.items():
        assert_restricted(spec, name)


def test_no_pod_has_a_token_or_variables_of_services() -> None:
    for name, spec in pods(render(EVERYTHING)):
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name


def test_every_container_has_requests_and_a_memory_limit_and_none_a_cpu_limit() -> None:
    for name, spec in pods(render(EVERYTHING)):
        for container in containers(spec):
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert set(container["resources"]["limits"]) == {"memory"}, name


@pytest.mark.parametrize("release", ["a", "r" * 53])
def test_names_fit_and_begin_with_the_release(release: str) -> None:
    resources = render(EVERYTHING, release=release)
    names = [(found["kind"], found["metadata"]["name"]) for found in resources]

    assert len(set(names)) == len(names)
    for _, name in names:
        assert len(name) <= 63 - len("-0123456789-abcde") or release == "a" or len(name) <= 53
        assert name.startswith(release[:30])


def test_another_name_replaces_the_release_in_every_name() -> None:
    names = {found["metadata"]["name"] for found in render(EVERYTHING, "nameOverride=other")}

    assert all(name.startswith("other-") for name in names)


def test_common_labels_are_on_every_resource_and_pod_but_select_nothing() -> None:
    for resource in render(EVERYTHING, "commonLabels.team=fraud"):
        assert resource["metadata"]["labels"]["team"] == "fraud"
        if resource["kind"] in ("Deployment", "StatefulSet"):
            spec = resource["spec"]
            assert spec["template"]["metadata"]["labels"]["team"] == "fraud"
            assert "team" not in spec["selector"]["matchLabels"]


def test_images_have_tags_and_none_floats() -> None:
    images = {c["image"] for _, spec in pods(render(EVERYTHING)) for c in containers(spec)}

    assert f"mlops-desafio:{__version__}" in images
    assert all(re.search(r":[\w.-]+$", image) for image in images)
    assert not any(image.endswith(":latest") for image in images)


def test_a_mirror_takes_the_place_of_every_registry() -> None:
    rendered = render(EVERYTHING, "imageRegistry=mirror.example.com/hub")
    images = {c["image"] for _, spec in pods(rendered) for c in containers(spec)}

    assert all(image.startswith("mirror.example.com/hub/") for image in images)
    assert any(image.startswith("mirror.example.com/hub/minio/minio:") for image in images)


def test_a_digest_takes_precedence_over_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    pod = api_pod("image.tag=x", f"image.digest={digest}")

    assert pod["spec"]["containers"][0]["image"] == f"mlops-desafio@{digest}"


def test_the_chart_has_the_version_of_the_service() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == __version__


def test_a_setting_reaches_the_service_by_its_name() -> None:
    data = api_config(
        "api.settings.maxRows=12",
        "api.settings.pollSeconds=0.5",
        "api.settings.starterModel=",
        "api.settings.allowPickle=true",
        "api.settings.maxUploadBytes=68719476736",
    )

    assert data == {
        "SERVICE_MLFLOW_URI": f"http://{RELEASE}-mlflow:5000",
        "SERVICE_REPLICAS": f"dns://{RELEASE}-replicas:8000",
        "SERVICE_TRAINING_MEMORY_BYTES": "1073741824",
        "SERVICE_MAX_ROWS": "12",
        "SERVICE_POLL_SECONDS": "0.5",
        "SERVICE_STARTER_MODEL": "",
        "SERVICE_ALLOW_PICKLE": "true",
        "SERVICE_MAX_UPLOAD_BYTES": "68719476736",
    }
    given = {key.removeprefix(PREFIX).lower(): value for key, value in data.items()}
    Settings.model_validate(given)


def test_the_schema_knows_every_setting_with_its_bounds_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"]["api"]["properties"]["settings"]["properties"]
    fields = Settings.model_json_schema()["properties"]

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.title() for word in rest)

    assert set(known) == {camel(name) for name in fields if name not in OWN_SETTINGS}
    for name, field in fields.items():
        for bound in ("type", "minimum", "maximum", "exclusiveMinimum", "enum"):
            if name not in OWN_SETTINGS:
                # `--set` gives text for a number with a point; the service checks it then.
                text = bound == "type" and field[bound] == "number"
                expected = ["number", "string"] if text else field.get(bound)
                if bound == "type" and field[bound] == "array":
                    expected = "string"  # a list with commas, as in the environment
                assert known[camel(name)].get(bound) == expected, (name, bound)


def _keys(values: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield above + key
        if isinstance(value, dict):
            yield from _keys(value, f"{above}{key}.")


def _known(schema: dict[str, Any], root: dict[str, Any], above: str = "") -> Iterator[str]:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    for key, value in schema.get("properties", {}).items():
        yield above + key
        yield from _known(value, root, f"{above}{key}.")


def test_values_and_schema_know_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    free = ("resources.", "api.settings.", "global")

    known = {key for key in _known(schema, schema) if not any(part in key for part in free)}
    given = {key for key in _keys(values) if not any(part in key for part in free)}
    assert known == {key for key in given if "labels." not in key}


def test_prose_stands_above_every_value() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    # Keys that Kubernetes defines, or that are one value over several lines.
    known = (
        "cpu:",
        "memory:",
        "ephemeral-storage:",
        "kubernetes.io/",
        "k8s-app:",
        "grafana_dashboard:",
        "training",
    )
    bare = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if re.match(r"\s*[\w./-]+: \S", line)
        and not line.strip().startswith(known)
        and not above.strip().startswith("#")
    ]

    assert bare == []


@pytest.mark.parametrize(
    "misspelt",
    ["replica=1", "api.replica=3", "api.settings.maxRow=5", "image.tags=x", "mlflow.url=x",
     "postgres.image.digests=x", "networkPolicy.enable=false", "monitoring.standalon=true",
     "api.resources.limit=1Gi"],
)  # fmt: skip
def test_a_misspelt_key_is_refused_by_name(misspelt: str) -> None:
    key = misspelt.split("=")[0].rsplit(".", 1)[-1]

    assert f"'{key}' not allowed" in refusal(misspelt)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("api.settings.maxRows=0", "/api/settings/maxRows"),
        ("api.settings.maxRows=many", "/api/settings/maxRows"),
        ("api.settings.logLevel=loud", "/api/settings/logLevel"),
        ("api.replicas=-1", "/api/replicas"),
        ("api.service.type=Magic", "/api/service/type"),
        ("image.digest=abc", "/image/digest"),
        ("minio.bucket=UPPER", "/minio/bucket"),
        ("mlflow.externalUri=ftp://x", "/mlflow/externalUri"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(wrong: str, place: str) -> None:
    assert place in refusal(wrong)


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (("mlflow.enabled=false",), "mlflow.externalUri must name an MLflow tracking server"),
        (("mlflow.externalUri=http://m:5000",), "mlflow.enabled must be false"),
        (
            ("postgres.enabled=false",),
            "postgres.existingSecret must name a Secret with the key uri",
        ),
        (("minio.enabled=false",), "minio.existingSecret must name a Secret with the keys"),
        (
            ("minio.enabled=false", "minio.existingSecret=s"),
            "networkPolicy.externalEgress must allow the way to it",
        ),
        (
            ("api.autoscaling.enabled=true", "api.autoscaling.minReplicas=9"),
            "api.autoscaling.minReplicas is above api.autoscaling.maxReplicas",
        ),
    ],
)
def test_what_cannot_work_together_is_refused_with_a_sentence(
    sets: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refusal(*sets)


def test_the_autoscaler_owns_the_number_of_pods() -> None:
    without = render()
    scaled = render("api.autoscaling.enabled=true")

    assert of_kind(without, "HorizontalPodAutoscaler") == {}
    assert of_kind(without, "Deployment")[f"{RELEASE}-api"]["spec"]["replicas"] == 2
    assert "replicas" not in of_kind(scaled, "Deployment")[f"{RELEASE}-api"]["spec"]
    autoscaler = of_kind(scaled, "HorizontalPodAutoscaler")[f"{RELEASE}-api"]["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == f"{RELEASE}-api"
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (2, 8)


def test_a_changed_setting_rolls_the_api_and_nothing_else_does() -> None:
    kept = api_pod()

    assert api_pod("api.settings.maxRows=5") != kept
    for elsewhere in ("mlflow.resources.limits.memory=2Gi", "api.replicas=3", EVERYTHING):
        assert api_pod(elsewhere) == kept


def test_a_new_pod_serves_before_an_old_one_goes() -> None:
    spec = of_kind(render(), "Deployment")[f"{RELEASE}-api"]["spec"]

    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert of_kind(render(), "PodDisruptionBudget")[f"{RELEASE}-api"]["spec"]["maxUnavailable"] == 1


def test_a_pod_that_goes_has_the_time_to_answer_what_is_under_way() -> None:
    spec = api_pod()["spec"]
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pause + DRAIN_SECONDS + 5 <= spec["terminationGracePeriodSeconds"]


def test_liveness_and_readiness_of_the_api_ask_different_things_and_no_other_part() -> None:
    container = api_pod()["spec"]["containers"][0]

    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_mlflow_answers_to_every_form_of_its_name_and_to_a_port_forward() -> None:
    pod = of_kind(render("mlflow.allowedHosts={mlflow.example.com}"), "Deployment")
    (server,) = pod[f"{RELEASE}-mlflow"]["spec"]["template"]["spec"]["containers"]
    name = f"{RELEASE}-mlflow"

    hosts = environment(server)["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for host in ("localhost", "127.0.0.1", name, f"{name}.{NAMESPACE}", f"{name}.{NAMESPACE}.svc",
                 f"{name}.{NAMESPACE}.svc.cluster.local"):  # fmt: skip
        assert {host, f"{host}:*"} <= set(hosts)
    assert "mlflow.example.com" in hosts
    assert "*" not in hosts


def test_mlflow_runs_one_worker_without_jobs_and_reports_to_nobody() -> None:
    pod = of_kind(render(), "Deployment")[f"{RELEASE}-mlflow"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    variables = environment(server)

    assert server["command"][-2:] == ["--workers", "1"]
    assert variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "experiments/search" in server["readinessProbe"]["httpGet"]["path"]
    assert server["livenessProbe"]["httpGet"]["path"] == "/health"


def test_no_password_stands_in_a_pod_or_a_config_map() -> None:
    resources = render(EVERYTHING)
    generated = [
        value
        for secret in of_kind(resources, "Secret").values()
        for value in secret["data"].values()
    ]
    others = json.dumps([found for found in resources if found["kind"] != "Secret"])

    assert len(generated) == 5
    assert not any(value in others for value in generated)
    for resource in of_kind(resources, "Secret").values():
        assert resource["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_secret_of_ones_own_takes_the_place_of_a_generated_one() -> None:
    resources = render(
        "postgres.existingSecret=mine", "minio.existingSecret=ours", "api.existingSecret=yours"
    )

    assert of_kind(resources, "Secret") == {}
    server = dict(pods(resources))[f"{RELEASE}-mlflow"]["containers"][0]
    assert environment(server)["PGPASSWORD"]["secretKeyRef"]["name"] == "mine"
    assert environment(server)["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "ours"
    (api,) = dict(pods(resources))[f"{RELEASE}-api"]["containers"]
    assert environment(api)["SERVICE_PEER_KEY"]["secretKeyRef"]["name"] == "yours"


def test_an_mlflow_of_ones_own_needs_no_part_of_the_chart() -> None:
    resources = render(
        "mlflow.enabled=false", "mlflow.externalUri=https://mlflow.example.com",
        "networkPolicy.enabled=false",
    )  # fmt: skip

    assert set(of_kind(resources, "Deployment")) == {f"{RELEASE}-api"}
    assert of_kind(resources, "StatefulSet") == {}
    assert set(of_kind(resources, "Secret")) == {f"{RELEASE}-api"}
    config = of_kind(resources, "ConfigMap")[f"{RELEASE}-api"]["data"]
    assert config["SERVICE_MLFLOW_URI"] == "https://mlflow.example.com"


@pytest.mark.parametrize("place", ["dev", "production"])
def test_the_values_of_each_place_are_accepted(place: str) -> None:
    values = yaml.safe_load((VALUES / f"{place}.yaml").read_text())
    parts = set(of_kind(render(values=values), "StatefulSet"))

    outside = place == "production"
    assert parts == (set() if outside else {f"{RELEASE}-postgres", f"{RELEASE}-minio"})


@pytest.mark.parametrize("place", ["dev", "production"])
def test_the_values_of_each_place_are_differences_alone(place: str) -> None:
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def same(values: dict[str, Any], kept: dict[str, Any], above: str = "") -> Iterator[str]:
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(kept.get(key), dict):
                yield from same(value, kept[key], f"{above}{key}.")
            elif kept.get(key) == value:
                yield above + key

    values = yaml.safe_load((VALUES / f"{place}.yaml").read_text())
    assert list(same(values, defaults)) == (["minio.bucket"] if place == "production" else [])
