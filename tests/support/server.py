"""The service on a free port of this machine, in a thread, for tests that speak HTTP."""

import atexit
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.app import create_app
from service.common.ports import Registry
from service.common.settings import Settings
from service.kubernetes.cluster import Cluster
from service.processes.pool import WorkerPool
from service.server.server import Server, listen, url
from tests.support.waiting import wait_until

ENDLESS = {
    "name": "endless",
    "model_type": "GradientBoostingClassifier",
    "params": {"n_estimators": 2000, "max_depth": 8},
    "dataset": "digits",
    "wait": 0,
}
"""A training that runs longer than any test unless it is ended."""


class Client(httpx.Client):
    """An HTTP client with shorthands for the service's API."""

    def predict(self, body: object, **headers: str) -> httpx.Response:
        """Post a body to `/predict`: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        fixed = {"content-type": "application/json", **headers}
        return self.post("/predict", content=content, headers=fixed)

    def train(self, **body: object) -> dict[str, Any]:
        """Train, and assert that it succeeds."""
        response = self.post("/train", json=body)
        assert response.status_code == 201, response.text
        result: dict[str, Any] = response.json()
        return result

    def wait_for_training(self, identifier: str) -> dict[str, Any]:
        """Follow a training to its end."""

        def ended() -> dict[str, Any] | None:
            training: dict[str, Any] = self.get(f"/trainings/{identifier}").json()
            return training if training["state"] not in ("queued", "running") else None

        return wait_until(ended)


class SharedWorkers(WorkerPool):
    """One worker host for all tests of a run, as importing scikit-learn takes seconds."""

    def close(self) -> None:
        """Keep the host for the next test; the service's trainer has stopped its jobs."""

    def end(self) -> None:
        """End the host."""
        super().close()


_SHARED = SharedWorkers()
atexit.register(_SHARED.end)


def settings_for(folder: Path, **changes: Any) -> Settings:
    """Return settings for a test: a free port, a separate folder, and no starter model."""
    return Settings(**{"data_dir": folder, "port": 0, "starter_model": "", **changes})


@contextmanager
def serve(
    settings: Settings,
    registry: Registry | None = None,
    workers: WorkerPool = _SHARED,
    cluster: Cluster | None = None,
) -> Iterator[Client]:
    """Run the service while the block runs; yield a client of it."""
    with running(settings, registry, workers, cluster) as (_, client):
        yield client


@contextmanager
def running(
    settings: Settings,
    registry: Registry | None = None,
    workers: WorkerPool = _SHARED,
    cluster: Cluster | None = None,
) -> Iterator[tuple[Server, Client]]:
    """Run the service while the block runs, or until the block ends the server."""
    listener = listen(settings)
    server = Server(create_app(settings, registry, workers, cluster), settings)
    address = url(listener)
    thread = threading.Thread(target=server.run, args=([listener],), name="server")
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started
        with Client(base_url=address, timeout=60) as client:
            yield server, client
    finally:
        server.should_exit = True
        thread.join(timeout=30)
    assert not thread.is_alive()
