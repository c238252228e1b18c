"""Backups: what the chart renders for them, and which values it refuses."""

from typing import Any

import pytest

from tests.support.chart import RELEASE, Resource, needs_helm, of_kind, refusal, render
from tests.support.network_policies import PORTS, allowed, labels_of, policies_of

pytestmark = needs_helm

ENABLED = "backup.enabled=true"
NAME = f"{RELEASE}-backup"


def cronjob(*sets: str) -> dict[str, Any]:
    """Return the specification of the pod that makes a copy."""
    job = of_kind(render(ENABLED, *sets), "CronJob")[NAME]
    spec: dict[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def mlflow_of(resources: list[Resource]) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind(resources, "Deployment")[f"{RELEASE}-mlflow"]
    pod: dict[str, Any] = spec["spec"]["template"]["spec"]
    return pod


def test_without_backups_nothing_of_them_is_there() -> None:
    assert not [resource for resource in render() if resource["metadata"]["name"] == NAME]


def test_the_database_is_copied_before_the_objects() -> None:
    pod = cronjob()

    assert [container["name"] for container in pod["initContainers"]] == ["database"]
    assert [container["name"] for container in pod["containers"]] == ["objects"]
    assert "pg_dump" in pod["initContainers"][0]["args"][0]


def test_a_first_copy_is_made_at_once_so_that_its_volume_is_bound() -> None:
    first, again, other = (
        of_kind(render(ENABLED, *sets), "Job") for sets in ([], [], ["backup.keep=3"])
    )

    (job,) = first.values()
    assert job["spec"]["template"]["spec"] == cronjob()
    assert set(first) == set(again)
    assert not set(first) & set(other)  # a Job is immutable: a new one replaces it
    assert all(len(name) <= 63 for name in first)


def test_two_copies_are_never_made_at_one_time_and_so_many_are_kept() -> None:
    job = of_kind(render(ENABLED, "backup.keep=3"), "CronJob")[NAME]["spec"]

    assert job["concurrencyPolicy"] == "Forbid"
    assert cronjob("backup.keep=3")["containers"][0]["command"][-1] == "3"


def test_the_volume_outlives_the_release_and_another_can_take_its_place() -> None:
    claim = of_kind(render(ENABLED), "PersistentVolumeClaim")[NAME]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    given = render(ENABLED, "backup.existingClaim=elsewhere")
    assert NAME not in of_kind(given, "PersistentVolumeClaim")
    volumes = cronjob("backup.existingClaim=elsewhere")["volumes"]
    assert {"claimName": "elsewhere"} in [v.get("persistentVolumeClaim") for v in volumes]


def test_a_copy_may_reach_the_stores_and_nothing_else() -> None:
    policies = policies_of(render(ENABLED))

    reached = {
        part
        for part, port in PORTS.items()
        if allowed(policies, "Egress", labels_of("backup"), labels_of(part), port)
    }

    assert reached == {"postgres", "minio"}
    for part in reached:
        port = PORTS[part]
        assert allowed(policies, "Ingress", labels_of(part), labels_of("backup"), port)


def test_a_restore_comes_before_the_tables_are_made() -> None:
    usual = [container["name"] for container in mlflow_of(render(ENABLED))["initContainers"]]
    pod = mlflow_of(render(ENABLED, "backup.restore=latest"))

    assert usual == ["prepare"]
    names = [container["name"] for container in pod["initContainers"]]
    assert names == ["restore-objects", "restore-database", "prepare"]
    for container in pod["initContainers"][:2]:
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert mounts["backup"]["readOnly"] is True


def test_every_mount_has_its_volume() -> None:
    for pod in (cronjob(), mlflow_of(render(ENABLED, "backup.restore=latest"))):
        volumes = [volume["name"] for volume in pod["volumes"]]
        assert len(set(volumes)) == len(volumes)
        for container in [*pod["initContainers"], *pod["containers"]]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (["backup.restore=latest"], "backup.restore needs backup.enabled"),
        (
            [ENABLED, "mlflow.enabled=false", "mlflow.externalUri=http://x",
             "networkPolicy.enabled=false"],
            "backup needs the chart's own MLflow and Postgres",
        ),
        ([ENABLED, "backup.restore=yesterday"], "restore"),
        ([ENABLED, "backup.keep=0"], "keep"),
        ([ENABLED, "backup.schedule=daily"], "schedule"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(sets: list[str], sentence: str) -> None:
    assert sentence in refusal(*sets)
