"""Trainings as Jobs of Kubernetes: what the chart gives them, and the API for them."""

import json
import re
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
import yaml

from service.common.settings import PREFIX, Settings
from tests.support.chart import (
    CHART,
    NAMESPACE,
    RELEASE,
    Resource,
    assert_restricted,
    environment,
    needs_helm,
    of_kind,
    pods,
    refusal,
    render,
)
from tests.support.network_policies import PORTS, allowed, labels_of, policies_of

pytestmark = needs_helm

NAME = f"{RELEASE}-training"
API = f"{RELEASE}-api"
JOBS = ("training.executor=kubernetes", "training.apiServer.cidrs={203.0.113.7/32}")
PLACEMENT: dict[str, Any] = {
    "priorityClassName": "batch",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    ],
}


def _job(*sets: str, values: Mapping[str, Any] | None = None) -> Resource:
    """Return the Job that the service makes each training's Job of."""
    data = of_kind(render(*JOBS, *sets, values=values), "ConfigMap")[NAME]["data"]
    job: Resource = json.loads(data["job.json"])
    return job


def _pod(*sets: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = _job(*sets, values=values)["spec"]["template"]["spec"]
    return spec


def _api(*sets: str) -> dict[str, Any]:
    template: dict[str, Any] = of_kind(render(*sets), "Deployment")[API]["spec"]["template"]
    return template


def test_without_the_executor_nothing_of_it_is_there() -> None:
    resources = render()

    for kind in ("Role", "RoleBinding", "Job"):
        assert of_kind(resources, kind) == {}
    for resource in resources:
        assert "training" not in resource["metadata"]["name"]
    api = _api()
    assert api["spec"]["automountServiceAccountToken"] is False
    assert set(api["metadata"]["annotations"]) == {"checksum/config"}
    assert {one["name"] for one in api["spec"]["volumes"]} == {"data", "tmp"}
    config = of_kind(resources, "ConfigMap")[API]["data"]
    assert not {"SERVICE_EXECUTOR", "SERVICE_JOB_TEMPLATE", "SERVICE_TRAINING_PODS"} & set(config)
    peers = [peer for policy in policies_of(resources) for rule in policy.get("egress", [])
             for peer in rule["to"]]  # fmt: skip
    assert not any("ipBlock" in peer for peer in peers)


def test_no_value_of_trainings_but_the_executor_changes_anything_without_it() -> None:
    values = {
        "deadlineSeconds": 60, "ttlSeconds": 60, "maxPods": 9, "queueName": "q",
        "resources": {"limits": {"memory": "9Gi"}}, "apiServer": {"cidrs": ["203.0.113.7/32"]},
        "labels": {"team": "fraud"}, **PLACEMENT,
    }  # fmt: skip

    def bare(resources: list[Resource]) -> list[Resource]:
        return [one for one in resources if one["kind"] != "Secret"]

    assert bare(render(values={"training": values})) == bare(render())


def test_the_account_of_the_api_may_manage_jobs_and_read_why_a_pod_died() -> None:
    resources = render(*JOBS)

    (role,) = of_kind(resources, "Role").values()
    rights = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group, resource in product(rule["apiGroups"], rule["resources"])
    }
    assert rights == {
        ("batch", "jobs"): {"create", "get", "list", "watch", "delete"},
        ("", "pods"): {"get", "list"},
        ("", "pods/log"): {"get"},
        ("", "events"): {"get", "list"},
    }
    (binding,) = of_kind(resources, "RoleBinding").values()
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": API, "namespace": NAMESPACE}]
    assert of_kind(resources, "ClusterRole") == of_kind(resources, "ClusterRoleBinding") == {}


def test_a_given_account_of_the_api_gets_the_role() -> None:
    own = {"api": {"serviceAccount": {"create": False, "name": "mine"}}}

    (binding,) = of_kind(render(*JOBS, values=own), "RoleBinding").values()

    assert binding["subjects"][0]["name"] == "mine"


def test_only_the_pods_of_the_api_have_a_token() -> None:
    resources = render(*JOBS, "monitoring.standalone=true", "backup.enabled=true")

    tokens = {name for name, spec in pods(resources) if spec["automountServiceAccountToken"]}
    assert tokens == {API}
    # An account's own default would give one to any other pod that uses it.
    accounts = of_kind(resources, "ServiceAccount")
    assert not any(one["automountServiceAccountToken"] for one in accounts.values())
    training = _pod()
    assert training["automountServiceAccountToken"] is False
    assert training["serviceAccountName"] == NAME
    assert NAME in accounts


def test_a_training_runs_in_a_restricted_pod() -> None:
    spec = _pod()

    assert_restricted(spec, NAME)
    assert spec["enableServiceLinks"] is False
    assert spec["terminationGracePeriodSeconds"] == 30


def test_a_training_sees_no_secret() -> None:
    job = json.dumps(_job("auth.enabled=true"))

    assert "secret" not in job.lower()


def test_a_training_runs_the_image_of_the_api() -> None:
    sets = ("image.tag=x", "image.pullPolicy=Always", "imageRegistry=mirror.example.com",
            "imagePullSecrets[0].name=registry")  # fmt: skip
    spec, api = _pod(*sets), _api(*JOBS, *sets)["spec"]

    (container,) = spec["containers"]
    for key in ("image", "imagePullPolicy"):
        assert container[key] == api["containers"][0][key]
    assert spec["imagePullSecrets"] == api["imagePullSecrets"]
    assert container["name"] == "training"
    assert container["command"] == ["python3", "-m", "service.pod"]


def test_a_training_gets_settings_that_the_service_knows() -> None:
    sets = ("api.settings.trainingDiskBytes=3221225472", "api.settings.logLevel=debug",
            "api.settings.allowPickle=true", "training.deadlineSeconds=120")  # fmt: skip
    found = environment(_pod(*sets)["containers"][0])

    memory = found.pop("SERVICE_TRAINING_MEMORY_BYTES")["resourceFieldRef"]
    assert memory == {"containerName": "training", "resource": "limits.memory", "divisor": "1"}
    assert found == {
        "SERVICE_MLFLOW_URI": f"http://{RELEASE}-mlflow:5000",
        "SERVICE_TRAINING_SECONDS": "120",
        "SERVICE_TRAINING_DISK_BYTES": "3221225472",
        "SERVICE_LOG_LEVEL": "debug",
    }
    Settings.model_validate({name.removeprefix(PREFIX).lower(): found[name] for name in found})


def test_the_api_knows_the_template_and_its_bounds() -> None:
    sets = (*JOBS, "training.maxPods=7", "training.deadlineSeconds=120")
    data = of_kind(render(*sets), "ConfigMap")[API]["data"]
    spec = _api(*sets)["spec"]

    bounds = {name: data[name] for name in data if "TRAINING" in name or "JOB" in name}
    assert data["SERVICE_EXECUTOR"] == "kubernetes"
    assert bounds == {
        "SERVICE_JOB_TEMPLATE": "/etc/training/job.json",
        "SERVICE_TRAINING_PODS": "7",
        "SERVICE_TRAINING_SECONDS": "120",
        "SERVICE_TRAINING_MEMORY_BYTES": "1073741824",
    }
    Settings.model_validate({name.removeprefix(PREFIX).lower(): data[name] for name in data})
    mounted = {one["name"]: one for one in spec["containers"][0]["volumeMounts"]}
    assert mounted["training"] == {
        "name": "training", "mountPath": "/etc/training", "readOnly": True,
    }  # fmt: skip
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert volumes["training"]["configMap"] == {"name": NAME}


def test_another_template_rolls_the_api() -> None:
    kept = _api(*JOBS)

    assert _api(*JOBS, "training.resources.limits.memory=8Gi") != kept
    assert _api(*JOBS, "mlflow.resources.limits.memory=8Gi") == kept


def test_what_the_cluster_did_is_tried_once_more_and_what_the_training_did_is_not() -> None:
    spec = _job("training.deadlineSeconds=120", "training.ttlSeconds=90")["spec"]

    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (120, 90)
    assert spec["backoffLimit"] == 1
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    disrupted, killed, broken = spec["podFailurePolicy"]["rules"]
    assert disrupted == {
        "action": "Count",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    for rule, code in ((killed, 137), (broken, 1)):
        assert rule == {
            "action": "FailJob",
            "onExitCodes": {"containerName": "training", "operator": "In", "values": [code]},
        }


def test_a_training_asks_for_what_a_quota_counts() -> None:
    (container,) = _pod()["containers"]

    resources = container["resources"]
    assert set(resources["requests"]) == {"cpu", "memory", "ephemeral-storage"}
    assert set(resources["limits"]) == {"memory", "ephemeral-storage"}


def test_its_folders_are_as_large_as_its_storage() -> None:
    def sizes(*sets: str) -> set[str | None]:
        return {one["emptyDir"].get("sizeLimit") for one in _pod(*sets)["volumes"]}

    assert sizes() == {"4Gi"}
    assert sizes("training.resources.limits.ephemeral-storage=9Gi") == {"9Gi"}
    assert sizes("training.resources.limits.ephemeral-storage=null") == {None}


def test_a_job_waits_in_the_queue_of_kueue_that_is_named() -> None:
    label = "kueue.x-k8s.io/queue-name"

    assert label not in _job()["metadata"]["labels"]
    assert _job("training.queueName=team")["metadata"]["labels"][label] == "team"


def test_trainings_take_the_options_of_pods() -> None:
    options = {
        **PLACEMENT,
        "labels": {"team": "fraud", "app.kubernetes.io/component": "other"},
        "annotations": {"example.com/note": "kept"},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    }
    template = _job("commonLabels.cost=high", values={"training": options})["spec"]["template"]

    labels = template["metadata"]["labels"]
    assert (labels["team"], labels["cost"]) == ("fraud", "high")
    assert labels_of("training").items() <= labels.items()
    assert template["metadata"]["annotations"] == {"example.com/note": "kept"}
    for name, value in PLACEMENT.items():
        assert template["spec"][name] == value
    assert options["extraEnv"][0] in template["spec"]["containers"][0]["env"]


def test_the_owner_of_the_jobs_asks_for_no_pod_and_never_changes() -> None:
    kept = of_kind(render(*JOBS), "Job")[NAME]

    assert (kept["spec"]["completions"], kept["spec"]["parallelism"]) == (0, 0)
    assert "ttlSecondsAfterFinished" not in kept["spec"]
    assert_restricted(kept["spec"]["template"]["spec"], NAME)
    changed = {
        "image": {"repository": "other", "tag": "x", "pullPolicy": "Always"},
        "imageRegistry": "mirror.example.com",
        "imagePullSecrets": [{"name": "registry"}],
        "commonLabels": {"team": "fraud"},
        "training": {
            **PLACEMENT, "deadlineSeconds": 60, "ttlSeconds": 60, "queueName": "q",
            "labels": {"a": "b"}, "annotations": {"a": "b"}, "extraEnv": [{"name": "A"}],
            "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "8Gi"}},
        },
    }  # fmt: skip
    assert of_kind(render(*JOBS, values=changed), "Job")[NAME]["spec"] == kept["spec"]
    # Of the chart it takes nothing but what selects pods, which never changes either.
    _, spec = (CHART / "templates/training/owner.yaml").read_text().split("\nspec:\n")
    assert re.findall(r'\{\{-? (\w+(?: "[\w.]+")?)', spec) == [
        'include "desafio.selector"', "end",
    ]  # fmt: skip


def test_a_training_reaches_mlflow_alone_and_nothing_reaches_it() -> None:
    policies = policies_of(render(*JOBS, "monitoring.standalone=true"))
    training = labels_of("training")

    reached = {
        part
        for part, port in PORTS.items()
        if allowed(policies, "Egress", training, labels_of(part), port)
        and allowed(policies, "Ingress", labels_of(part), training, port)
    }
    # Anybody may call the API unless networkPolicy.clients says who; a training may not.
    assert reached == {"mlflow"}
    for part in (*PORTS, "test", "stranger"):
        for port in PORTS.values():
            assert not allowed(policies, "Ingress", training, labels_of(part), port)


def test_a_training_reaches_an_mlflow_outside_and_only_then_what_is_outside() -> None:
    outside = {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}
    egress = {"networkPolicy": {"externalEgress": [outside]}}
    name = f"{NAME}-egress"

    inside = of_kind(render(*JOBS, values=egress), "NetworkPolicy")[name]["spec"]["egress"]
    assert outside not in inside
    given = ("mlflow.enabled=false", "mlflow.externalUri=https://m.example.com")
    found = of_kind(render(*JOBS, *given, values=egress), "NetworkPolicy")[name]["spec"]["egress"]
    assert outside in found


def test_the_api_alone_reaches_the_api_server_and_at_the_given_addresses_alone() -> None:
    sets = ("training.executor=kubernetes", "training.apiServer.port=16443",
            "training.apiServer.cidrs={203.0.113.7/32,2001:db8::/64}")  # fmt: skip
    policies = policies_of(render(*sets))

    rules = [
        (policy["podSelector"]["matchLabels"], rule)
        for policy in policies
        for rule in policy.get("egress", [])
        if any("ipBlock" in peer for peer in rule["to"])
    ]
    ((selected, rule),) = rules
    assert selected == labels_of("api")
    assert [peer["ipBlock"]["cidr"] for peer in rule["to"]] == ["203.0.113.7/32", "2001:db8::/64"]
    assert {entry["port"] for entry in rule["ports"]} == {443, 16443}


def test_without_policies_no_address_is_needed() -> None:
    resources = render("training.executor=kubernetes", "networkPolicy.enabled=false")

    assert of_kind(resources, "NetworkPolicy") == {}
    assert NAME in of_kind(resources, "ConfigMap")


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (("training.apiServer.cidrs=null",),
         "training.apiServer.cidrs must have the addresses of the API server"),
        (("training.resources.limits.memory=null",),
         "training.resources.limits.memory must say what a training may take"),
        (("training.resources.limits.memory=511Mi",), "a training needs 512Mi or more"),
        (("training.resources.limits.memory=536870911",), "a training needs 512Mi or more"),
        (("training.resources.requests.memory=2.5Gi",),
         "training.resources.requests.memory is 2.5Gi, above its limit of 2Gi"),
        (("training.resources.limits.cpu=1", "training.resources.requests.cpu=1100m"),
         "training.resources.requests.cpu is 1100m, above its limit of 1"),
        (("training.resources.limits.ephemeral-storage=1Gi",),
         "training.resources.limits.ephemeral-storage is 1Gi, below what a training may write"),
        (("api.settings.trainingDiskBytes=4294967297",),
         "training.resources.limits.ephemeral-storage is 4Gi, below what a training may write"),
        (("api.settings.trainingSeconds=600",), "leave api.settings.trainingSeconds out"),
        (("api.serviceAccount.create=false",), "the API needs an account of its own"),
        (("api.serviceAccount.name=default",), "the API needs an account of its own"),
        (("training.extraEnv[0].name=SERVICE_EXECUTOR",),
         "training.extraEnv has SERVICE_EXECUTOR"),
        (("training.extraEnv[0].name=TRAINING",), "training.extraEnv has TRAINING"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_a_sentence(sets: tuple[str, ...], sentence: str) -> None:
    assert sentence in refusal(*JOBS, *sets)


@pytest.mark.parametrize(
    "sets",
    [
        ("training.resources.limits.memory=512Mi", "training.resources.requests.memory=512Mi"),
        ("training.resources.limits.memory=3000M", "training.resources.requests.memory=2.7Gi"),
        ("training.resources.limits.memory=4294967296", "training.resources.requests.memory=4Gi"),
        ("training.resources.limits.cpu=0.5",),
        ("api.settings.trainingDiskBytes=4294967296",),
    ],
)
def test_quantities_that_fit_are_accepted_in_every_notation(sets: tuple[str, ...]) -> None:
    assert render(*JOBS, *sets)


def test_the_least_memory_is_that_of_the_setting() -> None:
    (least,) = (one.ge for one in Settings.model_fields["training_memory_bytes"].metadata)

    assert least == 512 * 1024 * 1024


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ("training.executor=ray", "/training/executor"),
        ("training.deadlineSeconds=0", "/training/deadlineSeconds"),
        ("training.deadlineSeconds=86401", "/training/deadlineSeconds"),
        ("training.ttlSeconds=0", "/training/ttlSeconds"),
        ("training.maxPods=0", "/training/maxPods"),
        ("training.maxPods=1001", "/training/maxPods"),
        ("training.queueName=A queue", "/training/queueName"),
        ("training.apiServer.cidrs={203.0.113.7}", "/training/apiServer/cidrs"),
        ("training.apiServer.port=0", "/training/apiServer/port"),
        ("training.resources.limits.memory=lots", "/training/resources/limits/memory"),
        ("training.deadline=5", "'deadline' not allowed"),
        ("training.apiServer.cidr=x", "'cidr' not allowed"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(wrong: str, place: str) -> None:
    assert place in refusal(wrong)


def test_bounds_are_those_of_the_settings() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = schema["properties"]["training"]["properties"]
    fields = Settings.model_json_schema()["properties"]

    assert known["executor"]["enum"] == fields["executor"]["enum"]
    assert known["deadlineSeconds"]["maximum"] == fields["training_seconds"]["maximum"]
    for bound in ("minimum", "maximum"):
        assert known["maxPods"][bound] == fields["training_pods"][bound]


def test_defaults_are_those_of_the_settings() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["training"]

    assert values["executor"] == Settings.model_fields["executor"].default
    assert values["maxPods"] == Settings.model_fields["training_pods"].default
