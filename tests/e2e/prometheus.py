"""The release's Prometheus, asked as Grafana asks it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.cluster import Cluster
from tests.e2e.forward import Forward
from tests.e2e.waiting import wait_until

_EVERY = 15
"""Seconds between two scrapes; a rate needs two of them."""


class Prometheus:
    """A client of the release's Prometheus that queries it like Grafana."""

    def __init__(self, client: httpx.Client, release: Cluster) -> None:
        self._client = client
        self._put_in = {
            "$namespace": release.namespace,
            "$job": release.name("api"),
            "$__rate_interval": "5m",
            "$__range": "5m",
        }

    def get(self, path: str, **params: str) -> Any:
        """Query its API; return `data`."""
        response = self._client.get(f"/api/v1/{path}", params=params)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def query(self, query: str) -> list[dict[str, Any]]:
        """Evaluate a query of a rule or dashboard now; return the series that have a number."""
        for name, value in self._put_in.items():
            query = query.replace(name, value)
        found: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return [each for each in found if math.isfinite(float(each["value"][1]))]

    def wait_for(self, query: str, seconds: float = 6 * _EVERY) -> list[dict[str, Any]]:
        """Return the result of a query as soon as it is not empty."""
        return wait_until(f"data for {query}", lambda: self.query(query), seconds)


@contextmanager
def prometheus_of(release: Cluster) -> Iterator[Prometheus]:
    """Open the release's Prometheus; install one while the block runs if it has none."""
    values = release.values()
    mine = not values.get("monitoring", {}).get("standalone", False)
    if mine:
        _standalone(release, True)
    with (
        Forward(release, f"service/{release.name('prometheus')}", 9090) as forward,
        httpx.Client(base_url=forward.url, timeout=30, trust_env=False) as client,
    ):
        wait_until("Prometheus", lambda: _answers(client), 60)
        yield Prometheus(client, release)
    if mine:
        _standalone(release, False)


def _standalone(release: Cluster, there: bool) -> None:
    sets = f"monitoring.standalone={str(there).lower()},monitoring.grafana.enabled=false"
    release.upgrade(sets)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready", timeout=5).is_success
    except httpx.TransportError:
        return False
