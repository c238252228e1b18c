"""All pods serve one model while they are replaced: checks a history of clients."""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.cluster import PORTS, Cluster
from tests.e2e.conftest import Note
from tests.e2e.guest import guest, logs, phase, start_guest
from tests.e2e.waiting import wait_until
from tests.history import history
from tests.history.checker import check, unavailability
from tests.history.run import Run, describe
from tests.history.target import MODEL, TYPES, order

ROOT = Path(__file__).parents[2]
SCRIPTS = (
    "tests/e2e/historian.py",
    "tests/history/clients.py",
    "tests/history/history.py",
    "tests/history/protocols.py",
    "tests/history/target.py",
    "tests/history/writers.py",
)
SECONDS = 120
RATE = 60
NAME = "historian"


@pytest.fixture
def historian(release: Cluster, outside: Cluster, api: httpx.Client) -> Iterator[Cluster]:
    """Start a pod that reads and writes for two minutes."""
    keys = {path.replace("/", "."): path for path in SCRIPTS}
    outside.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME},
            "data": {key: (ROOT / path).read_text() for key, path in keys.items()},
        }
    )
    domain = f"{release.namespace}.svc"
    plan = {
        "service": f"{release.name('api')}.{domain}",
        "service_port": 80,
        "pods": f"{release.name('replicas')}.{domain}",
        "port": PORTS["api"],
        "versions": _versions(api),
        "rate": RATE,
        "seconds": SECONDS,
        "pauses": [2.0, 4.0, 4.0],
    }
    command = ("python", "-m", "tests.e2e.historian", json.dumps(plan))
    manifest = guest(
        NAME, release.image(), command, SECONDS + 240,
        labels={"app.kubernetes.io/component": "load"}, scripts=NAME, paths=keys,
    )  # fmt: skip
    manifest["spec"]["containers"][0]["workingDir"] = "/scripts"
    start_guest(outside, manifest)
    yield outside
    outside.delete_pod(NAME)


def _versions(api: httpx.Client) -> list[int]:
    """Train two versions with distinguishable predictions, unless they exist."""
    for number in (1, 2):
        if api.get(f"/models/{MODEL}/versions/{number}").status_code != 200:
            answer = api.post("/train", json=order(number, TYPES[number]), timeout=90)
            assert answer.status_code == 201, answer.text
            assert answer.json()["version"] == number
    return [1, 2]


def test_changes_and_a_rolling_restart_break_no_promise(
    release: Cluster, historian: Cluster, note: Note
) -> None:
    """No client sees an older model after a newer one, and none is refused by the Service."""
    before = {pod.uid for pod in release.pods("api")}
    wait_until(
        "a third of the history",
        lambda: "a third is over" in logs(historian, NAME),
        SECONDS,
        seen=lambda: logs(historian, NAME)[-2000:],
        pause=1,
    )
    release.restart("api")
    release.wait_rolled_out("api")
    wait_until(
        "the history ends",
        lambda: phase(historian, NAME) in {"Succeeded", "Failed"},
        SECONDS + 120,
        pause=1,
    )
    written = logs(historian, NAME)
    assert phase(historian, NAME) == "Succeeded", written[-3000:]
    seen = history.decode(gzip.decompress(base64.b64decode(written.splitlines()[-1])))

    run = Run(history=seen)
    balanced = [one for one in seen if one.client.startswith("service")]
    note(f"{run.summary()}; through the Service: {unavailability(balanced) or 'none failed'}")
    assert not before & {pod.uid for pod in release.pods("api")}
    assert describe(check(seen)) == "0 violations"
    assert unavailability(balanced) == {}
    assert run.count("acknowledged") >= 10
