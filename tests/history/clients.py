"""Clients that record what they see: readers of one replica, or of all."""

import http.client
import itertools
import json
import select
import threading
import time
from collections.abc import Callable, Sequence

from tests.history.history import Operation
from tests.history.protocols import OWN, Protocol
from tests.history.target import KEY, Target

_READ_SECONDS = 5.0


class Balancer:
    """Sends to replicas in turn, except to one that failed two probes, as a Service does."""

    def __init__(self, replicas: Sequence[Target]) -> None:
        self._ready = {replica.name: replica for replica in replicas}
        self._replicas = replicas
        self._turn = itertools.count()

    def probe(self, stop: threading.Event) -> None:
        """Probe every replica once a second until `stop`."""
        threads = [
            threading.Thread(target=self._probe, args=(replica, stop), name=f"probe {replica.name}")
            for replica in self._replicas
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def pick(self) -> Target:
        """Return the next ready replica, or any replica where none is ready."""
        ready = list(self._ready.values()) or list(self._replicas)
        return ready[next(self._turn) % len(ready)]

    def _probe(self, replica: Target, stop: threading.Event) -> None:
        failed = 0
        while not stop.wait(1):
            failed = 0 if replica.answers("/readyz") else failed + 1
            if failed == 0:
                self._ready[replica.name] = replica
            elif failed >= 2:
                self._ready.pop(replica.name, None)


class Reader:
    """Requests predictions one after another, at a fixed rate."""

    def __init__(
        self,
        name: str,
        pick: Callable[[], Target],
        rate: float,
        record: Callable[[Operation], None],
        minimum: bool = False,
        fresh: bool = False,
        protocol: Protocol = OWN,
    ) -> None:
        """`minimum`: require the newest epoch seen so far, which is promised across replicas.

        `fresh`: a new connection for each request, which a Service routes to any replica.
        """
        self._name = name
        self._pick = pick
        self._pause = 1 / rate
        self._record = record
        self._minimum = minimum
        self._fresh = fresh
        self._protocol = protocol
        self._seen = 0
        self._kept: dict[str, http.client.HTTPConnection] = {}

    def run(self, stop: threading.Event) -> None:
        """Read until `stop`."""
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic() - 1)
            self._record(self._read(self._pick()))
        for connection in self._kept.values():
            connection.close()

    def _read(self, replica: Target) -> Operation:
        connection = self._kept.pop(replica.name, None)
        if connection is not None and _has_ended(connection):
            connection.close()
            connection = None
        if connection is None:
            connection = http.client.HTTPConnection(
                replica.host, replica.port, timeout=_READ_SECONDS
            )
        minimum = self._seen if self._minimum else 0
        protocol = self._protocol
        headers = {**protocol.headers, KEY: self._name}
        if minimum:
            headers["x-min-epoch"] = str(minimum)
        start = time.monotonic()
        try:
            try:
                connection.request("POST", protocol.path, protocol.body, headers)
            except BrokenPipeError:
                # It was closed since it was looked at: as any client, ask on a new connection.
                connection.close()
                connection.request("POST", protocol.path, protocol.body, headers)
            answer = connection.getresponse()
            content = answer.read()
            end = time.monotonic()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            return Operation(
                self._name, "read", replica.name, start, time.monotonic(), "failed",
                minimum=minimum, reason=type(error).__name__,
            )  # fmt: skip
        if self._fresh:
            connection.close()
        else:
            self._kept[replica.name] = connection
        named = answer.headers
        if answer.status != 200:
            reason = f"{answer.status} {_reason(content)}"
            return Operation(
                self._name, "read", replica.name, start, end, "failed",
                minimum=minimum, reason=reason,
            )  # fmt: skip
        # An answer of another version than the one in use has no epoch: a reader sees that as 0.
        epoch = int(named.get("x-model-epoch", 0))
        self._seen = max(self._seen, epoch)
        model = f"{named['x-model-name']}/{named['x-model-version']}"
        told = protocol.read(content, dict(named.items()))
        return Operation(
            self._name, "read", replica.name, start, end, "ok", epoch, model,
            model if told.served is None else told.served, told.label[:-1], minimum,
            key=self._name,
        )  # fmt: skip


def _reason(content: bytes) -> str:
    """Return what an error says of itself, in the form of any protocol."""
    try:
        told = json.loads(content)
    except ValueError:
        return "no JSON"
    kind = str(told.get("type") or told.get("error_code") or told.get("error", ""))
    return kind.rsplit("/", 1)[-1][:80]


def _has_ended(connection: http.client.HTTPConnection) -> bool:
    """Return whether the other side has closed the connection since the last answer."""
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])
