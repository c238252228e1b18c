"""Clients that record what they see: readers of one replica or of all, and writers."""

import http.client
import itertools
import json
import random
import select
import threading
import time
from collections.abc import Callable, Sequence

import orjson

from tests.history.history import Operation, Outcome
from tests.history.protocols import OWN, Protocol
from tests.history.target import KEY, MODEL, Target

_READ_SECONDS = 5.0
_USE_SECONDS = 60.0
_TRIES = 5
_JSON = {"content-type": "application/json"}


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


def use(
    client: str,
    replica: Target,
    version: int,
    expected: int | None = None,
    name: str = MODEL,
    alias: str = "",
) -> Operation:
    """Request a change; return its outcome. `alias`: one that names the version, to be followed."""
    body: dict[str, object] = {"name": name, "version": version}
    if alias:
        body = {"name": name, "alias": alias, "follow": True}
    if expected is not None:
        body["expected_epoch"] = expected
    model = f"{name}/{version}"
    connection = http.client.HTTPConnection(replica.host, replica.port, timeout=_USE_SECONDS)
    start = time.monotonic()
    try:
        connection.request("POST", "/use-model", orjson.dumps(body), _JSON)
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        sent = not isinstance(error, ConnectionRefusedError)
        return Operation(
            client, "use", replica.name, start, time.monotonic(),
            "unknown" if sent else "unchanged",
            model=model, expected=expected, reason=type(error).__name__,
        )  # fmt: skip
    finally:
        connection.close()
    end = time.monotonic()
    if answer.status in (200, 202):
        previous = told["previous"]
        return Operation(
            client, "use", replica.name, start, end,
            "acknowledged" if answer.status == 200 else "committed",
            told["epoch"], model, expected=expected,
            previous=0 if previous is None else previous["epoch"],
            reason=f"{answer.status} missing {', '.join(told['missing'])}",
        )  # fmt: skip
    slug = str(told.get("type", "")).rsplit("/", 1)[-1]
    refused = answer.status in (404, 409) or told.get("outcome") == "unchanged"
    outcome: Outcome = "unchanged" if refused else "unknown"
    return Operation(
        client, "use", replica.name, start, end, outcome, model=model, expected=expected,
        reason=f"{answer.status} {slug} {told.get('detail', '')}"[:160],
    )  # fmt: skip


def split(client: str, replica: Target, version: int, percent: int) -> Operation:
    """Put a version beside the one in use, for a share of the clients; return the outcome."""
    body = {"name": MODEL, "version": version, "mode": "split", "percent": percent, "key": KEY}
    return _direct(client, replica, "PUT", body, f"{MODEL}/{version}")


def end_split(client: str, replica: Target) -> Operation:
    """Have the version in use answer alone; return the outcome."""
    return _direct(client, replica, "DELETE", None, "")


def _direct(client: str, replica: Target, method: str, body: object, second: str) -> Operation:
    start = time.monotonic()
    try:
        status, told = replica.ask(method, "/traffic", body, _USE_SECONDS)
    except (OSError, http.client.HTTPException, ValueError) as error:
        sent = not isinstance(error, ConnectionRefusedError)
        return Operation(
            client, "use", replica.name, start, time.monotonic(),
            "unknown" if sent else "unchanged", second=second, reason=type(error).__name__,
        )  # fmt: skip
    end = time.monotonic()
    if status in (200, 202):
        return Operation(
            client, "use", replica.name, start, end,
            "acknowledged" if status == 200 else "committed",
            told["epoch"], f"{told['name']}/{told['version']}", second=second,
            reason=f"{status} missing {', '.join(told['missing'])}",
        )  # fmt: skip
    slug = str(told.get("type", "")).rsplit("/", 1)[-1]
    refused = status in (404, 409) or told.get("outcome") == "unchanged"
    return Operation(
        client, "use", replica.name, start, end, "unchanged" if refused else "unknown",
        second=second, reason=f"{status} {slug} {told.get('detail', '')}"[:160],
    )  # fmt: skip


def use_acknowledged(client: str, replica: Target, version: int, alias: str = "") -> Operation:
    """Request changes until one is acknowledged: on a busy machine a hold may end too early."""
    for _ in range(_TRIES):
        done = use(client, replica, version, alias=alias)
        if done.outcome == "acknowledged":
            return done
    raise AssertionError(done)


class Writer:
    """Requests changes one after another, from varying replicas."""

    def __init__(
        self,
        name: str,
        replicas: Sequence[Target],
        versions: Sequence[int],
        pause: float,
        record: Callable[[Operation], None],
        seed: int,
        compare_and_set: bool = False,
        splits: bool = False,
    ) -> None:
        """`splits`: of its changes, every other one is about a second version."""
        self._name = name
        self._replicas = replicas
        self._versions = versions
        self._pause = pause
        self._record = record
        self._random = random.Random(seed)
        self._compare_and_set = compare_and_set
        self._splits = splits
        self.acknowledged = 0

    def run(self, stop: threading.Event, most: int = 10_000) -> None:
        """Write until `stop`, or until that many changes were requested."""
        for _ in range(most):
            if stop.wait(self._pause * self._random.uniform(0.5, 1.5)):
                return
            replica = self._random.choice(self._replicas)
            done = self._change(replica, self._random.choice(self._versions))
            self.acknowledged += done.outcome == "acknowledged"
            self._record(done)

    def _change(self, replica: Target, version: int) -> Operation:
        if self._splits and self._random.random() < 0.5:
            if self._random.random() < 0.2:
                return end_split(self._name, replica)
            return split(self._name, replica, version, self._random.randint(1, 100))
        # The client's epoch may be old: then another change must have come first.
        expected = (replica.epoch() or None) if self._compare_and_set else None
        return use(self._name, replica, version, expected)
