"""The list of versions while MLflow is down."""

from pathlib import Path

from tests.support.fakes import FakeRegistry, make_version
from tests.support.server import serve, settings_for
from tests.support.waiting import wait_until


def test_a_replica_that_nobody_has_asked_lists_what_mlflow_held(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    registry.versions["m", 1] = make_version(name="m")
    with serve(settings_for(tmp_path / "data"), registry) as client:
        wait_until(lambda: registry.listings)
        registry.down = True

        listed = wait_until(lambda: client.get("/models").json().get("models"))
        answer = client.get("/models").json()

    assert [(one["name"], one["version"]) for one in listed] == [("m", 1)]
    assert answer["stale"] is True
