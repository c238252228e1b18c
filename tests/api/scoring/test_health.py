"""`/ping`, `/health` and `/version`: what a probe of MLflow's server asks."""

from pathlib import Path

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, running, settings_for


def test_a_service_that_can_answer_says_so(client: Client) -> None:
    for path in ("/ping", "/health"):
        reply = client.get(path)
        assert reply.status_code == 200
        assert reply.text == "\n"
    assert client.get("/version").text.startswith("3.")


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_a_service_that_is_going_away_is_not_healthy(tmp_path: Path, path: str) -> None:
    with running(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as (server, client):
        assert client.get(path).status_code == 404
        client.train(name="iris", model_type="GaussianNB", dataset="iris")
        assert client.get(path).status_code == 200
        server.config.loaded_app.drain()

        refused = client.get(path)

    assert refused.status_code == 503
    assert refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
