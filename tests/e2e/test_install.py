"""A release from its installation in a new namespace through upgrades and a reinstall.

The tests depend on their order: each continues with the release as the previous one left it.
"""

import base64
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.cluster import PORTS, STATEFUL, Cluster
from tests.e2e.conftest import Note
from tests.e2e.forward import open_api
from tests.e2e.waiting import wait_until
from tests.support.chromium import chromium
from tests.support.console_walk import walk
from tests.support.visitor import Visitor

READY_SECONDS = 300
REINSTALL_SECONDS = 180
ROLES = ("predict", "train", "admin")


@dataclass
class Fresh:
    """A release that is installed, changed and reinstalled."""

    cluster: Cluster
    values: dict[str, Any]
    in_use: tuple[str, int] = ("", 0)
    passwords: dict[str, dict[str, str]] = field(default_factory=dict)

    def install(self, seconds: int) -> float:
        """Install it and wait until everything is ready; return how long that took."""
        start = time.monotonic()
        self.cluster.bring("install", self.values, seconds)
        return time.monotonic() - start

    def upgrade(self) -> None:
        """Upgrade to the current values, and wait until everything is ready."""
        self.cluster.bring("upgrade", self.values)
        for part in PORTS:
            self.cluster.wait_rolled_out(part)

    def pods(self) -> dict[str, set[str]]:
        """Return each part's pods by their uids."""
        return {part: {pod.uid for pod in self.cluster.pods(part)} for part in PORTS}

    def secrets(self) -> dict[str, dict[str, str]]:
        """Return the generated passwords."""
        return {part: self.cluster.secret(part) for part in STATEFUL}


@pytest.fixture(scope="module")
def fresh(release: Cluster) -> Iterator[Fresh]:
    """Return a smaller copy of the release under test that fits beside it, with one API pod."""
    cluster = Cluster(f"{release.namespace}-install", "fresh")
    cluster.create_namespace()
    yield Fresh(cluster, release.small_values())
    cluster.delete_namespace()


def test_an_install_is_ready_within_five_minutes(fresh: Fresh, note: Note) -> None:
    """From an empty namespace to the first prediction, with the images already present."""
    seconds = fresh.install(READY_SECONDS)
    note(f"ready in {seconds:.0f} s")
    assert seconds < READY_SECONDS
    with open_api(fresh.cluster) as api:
        example = api.get("/schema").json()["example"]
        assert api.post("/predict", json=example).json()["model"] == "iris"
        assert len(api.get("/models").json()["models"]) == 1
        order = {"dataset": "wine", "model_type": "RandomForestClassifier"}
        trained = api.post("/train", json=order)
        assert trained.status_code == 201, trained.text
        fresh.in_use = ("wine", trained.json()["version"])
    fresh.passwords = fresh.secrets()
    assert all(fresh.passwords[part] for part in STATEFUL)


def test_a_second_replica_joins_and_nothing_restarts(fresh: Fresh, note: Note) -> None:
    """A new replica replaces no existing pod, and serves the model in use."""
    before = fresh.pods()
    fresh.values["api"]["replicas"] = 2
    start = time.monotonic()
    fresh.upgrade()
    note(f"{time.monotonic() - start:.0f} s")
    after = fresh.pods()
    assert before["api"] < after["api"]
    assert len(after["api"]) == 2
    assert _others(after) == _others(before)
    assert fresh.secrets() == fresh.passwords
    fresh.cluster.wait_served(*fresh.in_use)


def test_an_upgrade_without_a_change_restarts_nothing(fresh: Fresh) -> None:
    """Nothing is generated again, so no pod is replaced."""
    before = fresh.pods()
    fresh.upgrade()
    assert fresh.pods() == before
    assert fresh.secrets() == fresh.passwords


def test_a_changed_setting_replaces_the_api_pods_alone(fresh: Fresh) -> None:
    """A setting reaches every API pod; no other part is restarted."""
    before = fresh.pods()
    fresh.values["api"].setdefault("settings", {})["maxRows"] = 5000
    fresh.upgrade()
    after = fresh.pods()
    assert not before["api"] & after["api"]
    assert _others(after) == _others(before)
    assert fresh.secrets() == fresh.passwords
    fresh.cluster.wait_served(*fresh.in_use)
    with open_api(fresh.cluster) as api:
        instances = [[0.0]] * 5001
        assert "5,000" in api.post("/predict", json={"instances": instances}).text


def test_a_changed_database_leaves_the_api_pods_alone(fresh: Fresh) -> None:
    """A setting of another part only restarts that part."""
    before = fresh.pods()
    fresh.values["postgres"]["resources"]["requests"]["memory"] = "80Mi"
    fresh.upgrade()
    after = fresh.pods()
    assert not before["postgres"] & after["postgres"]
    for part in ("api", "mlflow", "minio"):
        assert after[part] == before[part], part
    assert fresh.secrets() == fresh.passwords


def test_a_reinstall_finds_what_was_kept(fresh: Fresh, note: Note) -> None:
    """Volumes and passwords survive an uninstall, so models and the model in use are back."""
    with open_api(fresh.cluster) as api:
        listed = _versions(api.get("/models").json())
    fresh.cluster.helm("uninstall", fresh.cluster.release, "--wait", seconds=120)
    wait_until("no pods", lambda: not any(fresh.pods().values()), 120, seen=fresh.pods)
    assert fresh.secrets() == fresh.passwords
    seconds = fresh.install(REINSTALL_SECONDS)
    note(f"ready in {seconds:.0f} s")
    assert fresh.secrets() == fresh.passwords
    fresh.cluster.wait_served(*fresh.in_use)
    with open_api(fresh.cluster) as api:
        assert _versions(api.get("/models").json()) == listed
        assert api.post("/predict", json=api.get("/schema").json()["example"]).is_success


def test_with_keys_each_role_may_do_what_is_its_own(fresh: Fresh) -> None:
    """`auth.enabled` creates three keys; probes and calls between replicas need none."""
    fresh.values["auth"] = {"enabled": True}
    fresh.upgrade()
    secret = fresh.cluster.secret("clients")
    keys = {role: base64.b64decode(key).decode() for role, key in secret.items()}
    name, version = fresh.in_use
    found: dict[str | None, list[int]] = {}
    with open_api(fresh.cluster) as api:
        example = api.get("/schema", headers=_bearer(keys["predict"])).json()["example"]
        order = {"name": name, "version": version}
        for role in (None, *ROLES):
            with_key = _bearer(keys[role]) if role else {}
            found[role] = [
                api.get("/healthz", headers=with_key).status_code,
                api.post("/predict", json=example, headers=with_key).status_code,
                # No data: only clients that may train get the 400.
                api.post("/train", json={}, headers=with_key).status_code,
                api.post("/use-model", json=order, headers=with_key).status_code,
            ]
    assert found == {
        None: [200, 401, 401, 401],
        "predict": [200, 200, 403, 403],
        "train": [200, 200, 400, 403],
        "admin": [200, 200, 400, 200],
    }


def test_the_console_trains_and_predicts_through_a_forward_with_a_key(fresh: Fresh) -> None:
    """Somebody at the end of `kubectl port-forward` gets to a prediction of their own model."""
    key = base64.b64decode(fresh.cluster.secret("clients")["admin"]).decode()
    with open_api(fresh.cluster) as api, chromium() as browser, Visitor(browser) as visitor:
        visitor.expect("status of 401")
        walk(visitor.open(str(api.base_url).rstrip("/"), "/"), key, milliseconds=60_000)
        assert visitor.complaints() == []


def _others(pods: Mapping[str, set[str]]) -> dict[str, set[str]]:
    return {part: uids for part, uids in pods.items() if part != "api"}


def _versions(listed: Mapping[str, Any]) -> set[tuple[str, int, bool]]:
    return {(each["name"], each["version"], each["in_use"]) for each in listed["models"]}


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
