"""The restore drill: a release, its backup, and another release restored from the backup."""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Note
from tests.e2e.forward import open_api
from tests.e2e.guest import guest, start_guest
from tests.e2e.waiting import wait_until

MODELS = {
    ("iris", "LogisticRegression"),
    ("wine", "RandomForestClassifier"),
    ("wine", "KNeighborsClassifier"),
}
ROWS = 1000
READY_SECONDS = 600
CLAIM = "copies"

PredictReplies = dict[str, tuple[str, str]]
"""Of each version: the digests of its record, and the reply to a thousand rows."""


def _values(release: Cluster) -> dict[str, Any]:
    backup = {"enabled": True, "schedule": "0 0 1 1 *", "volume": {"size": "1Gi"}}
    return {**release.small_values(), "backup": backup}


@pytest.fixture(scope="module")
def origin(release: Cluster) -> Iterator[Cluster]:
    """Install a release of which backups are made."""
    cluster = Cluster(f"{release.namespace}-origin", "origin")
    cluster.create_namespace()
    cluster.bring("install", _values(release), READY_SECONDS)
    yield cluster
    cluster.delete_namespace()


@pytest.fixture
def empty(release: Cluster) -> Iterator[Cluster]:
    """Create a namespace that contains only a volume for backups."""
    cluster = Cluster(f"{release.namespace}-restored", "restored")
    cluster.create_namespace()
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    cluster.apply(claim)
    yield cluster
    cluster.delete_namespace()


def test_a_copy_restored_into_an_empty_namespace_answers_as_the_original(
    release: Cluster, origin: Cluster, empty: Cluster, note: Note
) -> None:
    """Every version has the same digests, and answers a thousand rows with the same bytes."""
    with open_api(origin) as api:
        for data_set, kind in sorted(MODELS):
            order = {"dataset": data_set, "model_type": kind, "name": f"{data_set}-{kind}"}
            trained = api.post("/train", json=order)
            assert trained.status_code == 201, trained.text
        before, in_use = _answers(api), _in_use(api)
    assert len(before) == len(MODELS) + 1

    said = _copy(origin)
    note(said)
    _carry(origin, empty, release.image())
    values = _values(release)
    values["backup"] |= {"existingClaim": CLAIM, "restore": "latest"}
    start = time.monotonic()
    empty.bring("install", values, READY_SECONDS)
    with open_api(empty) as api:
        assert _in_use(api) == in_use
        seconds = time.monotonic() - start
        after = _answers(api)

    note(f"ready with the same model in use after {seconds:.0f} s")
    assert after == before
    assert seconds < READY_SECONDS


def test_a_restart_of_a_restored_release_restores_nothing_again(origin: Cluster) -> None:
    """If the database has tables, the backup is ignored and nothing is lost."""
    with open_api(origin) as api:
        before = _in_use(api)
    values = origin.values()
    values["backup"]["restore"] = "latest"
    origin.bring("upgrade", values)
    origin.wait_rolled_out("mlflow")
    (pod,) = origin.ready_pods("mlflow")
    logs = origin.kubectl("logs", pod.name, "--container", "restore-objects")
    assert "nothing is restored" in logs
    with open_api(origin) as api:
        assert _in_use(api) == before


def _in_use(api: httpx.Client) -> tuple[str, int]:
    found = api.get("/use-model").json()
    return found["name"], found["version"]


def _answers(api: httpx.Client) -> PredictReplies:
    """Predict a thousand rows with every version; restore the model in use afterwards."""
    name, version = _in_use(api)
    answers: PredictReplies = {}
    for each in api.get("/models").json()["models"]:
        chosen = {"name": each["name"], "version": each["version"]}
        shown = api.get(f"/models/{each['name']}/versions/{each['version']}").json()
        assert api.post("/use-model", json=chosen).status_code == 200
        schema = api.get("/schema").json()
        body = {"instances": _rows(schema), "probabilities": True}
        reply = api.post("/predict", json=body)
        assert reply.status_code == 200, reply.text
        key = f"{each['name']} {each['version']}"
        answers[key] = (json.dumps(shown["sha256"], sort_keys=True), reply.text)
    assert api.post("/use-model", json={"name": name, "version": version}).status_code == 200
    return answers


def _rows(schema: dict[str, Any]) -> list[dict[str, float]]:
    random = np.random.default_rng(0)
    (row,) = schema["example"]["instances"]
    return [
        {
            feature: round(float(value * random.uniform(0.5, 1.5)), 4)
            for feature, value in row.items()
        }
        for _ in range(ROWS)
    ]


def _copy(cluster: Cluster) -> str:
    """Make a backup now; return its description."""
    cluster.kubectl("create", "job", "copy", f"--from=cronjob/{cluster.name('backup')}")

    def ended() -> bool:
        return bool(cluster.get("job", "copy")["status"].get("succeeded"))

    wait_until(
        "the copy is made",
        ended,
        180,
        seen=lambda: cluster.kubectl("describe", "job", "copy")[-2000:],
    )
    return cluster.kubectl("logs", "job/copy", "--container", "objects").strip()


def _carry(source: Cluster, target: Cluster, image: str) -> None:
    """Copy the backups from one namespace's volume to the other's."""
    for cluster, claim in ((source, source.name("backup")), (target, CLAIM)):
        manifest = guest("carrier", image, ["sleep", "600"], 600)
        spec = manifest["spec"]
        spec["volumes"] = [{"name": "copies", "persistentVolumeClaim": {"claimName": claim}}]
        spec["containers"][0]["volumeMounts"] = [{"name": "copies", "mountPath": "/backup"}]
        spec["securityContext"]["fsGroup"] = spec["securityContext"]["runAsGroup"]
        start_guest(cluster, manifest)

    def command(cluster: Cluster, script: str) -> list[str]:
        start = ["kubectl", "--namespace", cluster.namespace, "exec", "--stdin", "carrier", "--"]
        return [*start, "sh", "-c", f"cd /backup && {script}"]

    sent = command(source, "tar --create objects 2*Z")
    with subprocess.Popen(sent, stdout=subprocess.PIPE) as sending:
        received = subprocess.run(
            command(target, "tar --extract --touch"),
            stdin=sending.stdout,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert received.returncode == 0, received.stderr
    assert sending.returncode == 0
    for cluster in (source, target):
        cluster.delete_pod("carrier", at_once=True)
