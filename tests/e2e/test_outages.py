"""A part of the release is down for a minute; predictions are not affected."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import PORTS, Cluster
from tests.e2e.conftest import Note
from tests.e2e.forward import open_api
from tests.e2e.load import Load, Result
from tests.e2e.waiting import repeat, wait_until

AWAY_SECONDS = 60
ANSWER_SECONDS = 3
BACK_SECONDS = 30
RATE = 20
ORDER = {"dataset": "iris", "model_type": "LogisticRegression", "use": False, "wait": 25}


class Outage:
    """Observations while a part was down."""

    def __init__(self, release: Cluster, part: str, version: int) -> None:
        self.release = release
        self.part = part
        self.version = version
        self.wrong: list[str] = []
        self.slowest: dict[str, float] = {}

    def look(self, api: httpx.Client) -> None:
        """Send requests that need the part, and keep any answer that is not as promised."""
        self._refused(api, "/train", ORDER)
        self._refused(api, "/use-model", {"name": "spare", "version": self.version})
        listed = self._ask(api, "GET", "/models")
        if listed is not None and listed.status_code != 200:
            self.wrong.append(f"/models: {listed.status_code} {listed.text}")
        # Without MinIO, MLflow can still list versions, and its answer is not stale.
        elif listed is not None and self.part != "minio" and not listed.json()["stale"]:
            self.wrong.append("/models: it does not say that it is stale")

    def _refused(self, api: httpx.Client, path: str, body: Mapping[str, object]) -> None:
        response = self._ask(api, "POST", path, body)
        if response is None:
            return
        if response.status_code != 503:
            self.wrong.append(f"{path}: {response.status_code} {response.text}")
        elif not 1 <= int(response.headers.get("retry-after", 0)) <= 60:
            self.wrong.append(f"{path}: Retry-After {response.headers.get('retry-after')}")

    def _ask(
        self, api: httpx.Client, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> httpx.Response | None:
        start = time.monotonic()
        response = None
        try:
            response = api.request(method, path, json=body, timeout=40)
        except httpx.TransportError as error:
            self.wrong.append(f"{path}: {error!r}")
        seconds = time.monotonic() - start
        self.slowest[path] = max(self.slowest.get(path, 0.0), seconds)
        if seconds > ANSWER_SECONDS:
            status = response.status_code if response is not None else "nothing"
            self.wrong.append(f"{path}: {status} after {seconds:.1f} s")
        return response


def states(release: Cluster, away: str) -> dict[str, set[tuple[str, int, str]]]:
    """Return the pods of all other parts, with the restarts of their containers.

    And since when an API pod is ready. MLflow may be unready while its database is down.
    """
    return {
        part: {
            (pod.uid, pod.restarts, (pod.ready_since if pod.ready else "not ready"))
            if part == "api"
            else (pod.uid, pod.restarts, "")
            for pod in release.pods(part)
        }
        for part in PORTS
        if part != away
    }


@pytest.mark.usefixtures("iris")
@pytest.mark.parametrize("part", ["mlflow", "postgres", "minio"])
def test_predictions_go_on_without(
    part: str, release: Cluster, load: Load, example: Mapping[str, Any], note: Note
) -> None:
    """All predictions succeed; other requests get a 503 in 3 s, and work 30 s after its return."""
    first, second = release.ready_pods("api")[:2]
    with open_api(release, first.name) as training_queue, open_api(release, second.name) as api:
        # A version that this pod has never loaded.
        trained = training_queue.post("/train", json={**ORDER, "name": "spare"})
        assert trained.status_code == 201, trained.text
        outage = Outage(release, part, trained.json()["version"])
        assert api.get("/models").json()["stale"] is False
        before = states(release, part)

        with load.start(RATE, AWAY_SECONDS + 15, example) as sending:
            with release.without(part):
                repeat(lambda: outage.look(api), AWAY_SECONDS, pause=2)
                api_pods = states(release, part)["api"]
            back = time.monotonic()
            recovered = wait_until(
                f"everything works again after {part} is back",
                lambda: _works(api) and time.monotonic() - back,
                90,
            )
            result = sending.result()
        changed = _differences(before, states(release, part))
    _tell(note, outage, result, recovered)
    assert result.failed == 0, result.failures
    assert api_pods == before["api"], "an API pod was restarted or not ready"
    assert not changed
    assert recovered <= BACK_SECONDS
    assert not outage.wrong, "\n".join(dict.fromkeys(outage.wrong))


def _works(api: httpx.Client) -> bool:
    """Return whether a training, a change to an older version and a fresh list succeed now."""
    trained = api.post("/train", json={**ORDER, "use": True})
    if trained.status_code != 201:
        return False
    used = api.post("/use-model", json={"name": "iris", "version": 1})
    return used.status_code == 200 and api.get("/models").json()["stale"] is False


def _differences(
    before: Mapping[str, set[tuple[str, int, str]]], after: Mapping[str, set[tuple[str, int, str]]]
) -> dict[str, tuple[object, object]]:
    return {part: (before[part], after[part]) for part in before if before[part] != after[part]}


def _tell(note: Note, outage: Outage, result: Result, recovered: float) -> None:
    slowest = ", ".join(f"{path} {seconds:.2f} s" for path, seconds in outage.slowest.items())
    note(str(result))
    note(f"slowest answers meanwhile: {slowest}")
    note(f"all works {recovered:.1f} s after {outage.part} is ready again")
    for wrong in dict.fromkeys(outage.wrong):
        note(f"not as promised: {wrong[:300]}")
