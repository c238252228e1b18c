"""Predictions at a constant rate from inside the cluster, from pods beside the release."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster
from tests.e2e.guest import guest, logs, phase, start_guest
from tests.e2e.waiting import wait_until

SENDER = Path(__file__).with_name("sender.py")
MOST_PER_SECOND = 200
MOST_SECONDS = 300

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of all requests of one load."""

    sent: int
    failed: int
    statuses: Mapping[str, int]
    failures: Sequence[tuple[int, str, int]]
    """Second, reason, and count."""
    models: Mapping[str, int]
    epochs: Mapping[str, Sequence[int]]
    """The first and the last second with an answer from each epoch."""
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def good(self) -> float:
        """Return the share of requests that were answered with 200."""
        return (self.sent - self.failed) / self.sent

    def __str__(self) -> str:
        return (
            f"{self.failed} failed of {self.sent}, p50 {self.p50_ms:.1f} ms, "
            f"p99 {self.p99_ms:.1f} ms, max {self.max_ms:.0f} ms"
        )


class Sending:
    """A running load, which ends by itself."""

    def __init__(self, cluster: Cluster, name: str, seconds: int) -> None:
        self._cluster = cluster
        self._name = name
        self._seconds = seconds

    def result(self) -> Result:
        """Wait for the end; return the outcome of the requests."""
        wait_until(
            "the load ends",
            lambda: phase(self._cluster, self._name) in {"Succeeded", "Failed"},
            self._seconds + 60,
            pause=1,
        )
        written = logs(self._cluster, self._name)
        assert phase(self._cluster, self._name) == "Succeeded", written
        return Result(**json.loads(written.splitlines()[-1]))


class Load:
    """Starts loads in a separate namespace, with the product's image."""

    def __init__(self, cluster: Cluster, image: str, release: Cluster) -> None:
        self._cluster = cluster
        self._image = image
        self._release = release
        script: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "sender"},
            "data": {SENDER.name: SENDER.read_text()},
        }
        cluster.apply(script)

    @contextmanager
    def start(
        self,
        rate: float,
        seconds: int,
        body: Mapping[str, Any],
        *,
        target: str = "",
        port: int = 80,
        path: str = "/predict",
    ) -> Iterator[Sending]:
        """Send `rate` requests a second for a number of seconds, by default to the API's Service.

        Yields just before the first request is sent; the pod is always deleted afterwards.
        """
        assert 0 < rate <= MOST_PER_SECOND
        assert 0 < seconds <= MOST_SECONDS
        plan = {
            "host": target or f"{self._release.name('api')}.{self._release.namespace}.svc",
            "port": port,
            "path": path,
            "body": json.dumps(body),
            "rate": rate,
            "seconds": seconds,
        }
        manifest = guest(
            f"load-{next(_numbers)}",
            self._image,
            ("python", f"/scripts/{SENDER.name}", json.dumps(plan)),
            seconds + 120,
            labels={"app.kubernetes.io/component": "load"},
            scripts="sender",
        )
        name = start_guest(self._cluster, manifest)
        try:
            wait_until(
                "the load begins",
                lambda: "sending" in logs(self._cluster, name),
                60,
                seen=lambda: logs(self._cluster, name),
            )
            yield Sending(self._cluster, name, seconds)
        finally:
            self._cluster.delete_pod(name)
