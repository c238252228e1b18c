"""`GET /figures` of one replica: what it counts, and when it counts nothing."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.fakes import FakeRegistry
from tests.support.server import ENDLESS, Client, serve, settings_for
from tests.support.waiting import wait_until

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


def figures(client: Client) -> dict[str, Any]:
    """Return the figures of a replica that has no others."""
    response = client.get("/figures")
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["missing"] == []
    (one,) = body["replicas"]
    assert len(one["latency"]["counts"]) == len(one["latency"]["bounds"]) + 1
    assert sum(one["latency"]["counts"]) == one["requests"]["ok"]
    found: dict[str, Any] = one
    return found


def test_a_replica_says_what_it_serves_and_uses(client: Client) -> None:
    found, in_use = figures(client), client.get("/use-model").json()

    assert (found["model"], found["version"], found["epoch"]) == ("iris", 1, in_use["epoch"])
    assert (found["ready"], found["url"]) == (True, "")
    assert found["id"] == in_use["replicas"][0]["id"]
    assert 50e6 < found["memory_bytes"] < 10e9
    assert found["in_flight"] == 0
    assert found["trainings"] == {"running": 0, "queued": 0}
    started = datetime.fromisoformat(found["started_at"])
    assert 0 <= (datetime.now(UTC) - started).total_seconds() < 3600


def test_predictions_are_counted_over_versions_and_routes(client: Client) -> None:
    client.train(name="counted-too", dataset="iris", model_type="GaussianNB", use=False)
    before = figures(client)

    client.predict(ROW)
    client.predict({"instances": ROW["instances"] * 3})
    client.post("/models/counted-too/versions/1/predict", json=ROW)
    client.post("/v1/models/counted-too:predict", json=ROW)
    client.post("/invocations", json=ROW)
    client.predict({"instances": []})

    after = figures(client)
    assert after["requests"]["ok"] - before["requests"]["ok"] == 5
    assert after["requests"]["invalid"] - before["requests"]["invalid"] == 1
    assert after["rows"] - before["rows"] == 7
    assert after["requests"]["refused"] == before["requests"]["refused"]
    assert after["started_at"] == before["started_at"]


def test_no_count_falls_when_other_versions_are_put_in_use(client: Client) -> None:
    client.train(name="after", dataset="iris", model_type="GaussianNB", use=False)
    client.predict(ROW)
    before = figures(client)

    for name in ("after", "iris"):
        client.post("/use-model", json={"name": name, "version": 1})
        client.predict(ROW)

    after = figures(client)
    assert after["requests"]["ok"] == before["requests"]["ok"] + 2
    assert after["rows"] == before["rows"] + 2


def test_trainings_are_shown_while_they_run_and_wait(client: Client) -> None:
    opened = [client.post("/train", json=ENDLESS).json()["id"] for _ in range(2)]

    wait_until(lambda: figures(client)["trainings"] == {"running": 1, "queued": 1})

    for training in reversed(opened):
        client.delete(f"/trainings/{training}")
    wait_until(lambda: figures(client)["trainings"] == {"running": 0, "queued": 0})


def test_figures_are_shown_while_mlflow_is_away(client: Client, registry: FakeRegistry) -> None:
    registry.down = True

    assert figures(client)["model"] == "iris"


def test_a_replica_that_serves_nothing_yet_says_so(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path / "registry")
    registry.down = True
    with serve(settings_for(tmp_path / "data"), registry) as bare:
        found = figures(bare)

    assert (found["model"], found["version"], found["epoch"]) == (None, None, None)
    assert found["ready"] is False
    assert found["requests"] == {"ok": 0, "invalid": 0, "refused": 0, "error": 0}
