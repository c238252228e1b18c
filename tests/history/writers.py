"""Clients that change the model in use, and what stands beside it, and record the outcome."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence

import orjson

from tests.history.history import Operation, Outcome
from tests.history.target import KEY, MODEL, Target

_USE_SECONDS = 60.0
_TRIES = 5
_JSON = {"content-type": "application/json"}
PROMOTED_AT_ONCE = {"rows": 1, "errors": 1.0, "then": "promote"}
"""Rules that hold as soon as both versions have answered one row."""
RULES = "rules"
"""The client of a change that the rules of the traffic may make."""


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
    body = {"mode": "split", "percent": percent, "key": KEY}
    return _put_beside(client, replica, version, body)


def let_prove(client: str, replica: Target, version: int) -> list[Operation]:
    """Put a version in the shadow of the one in use, to be promoted by its rules; return both.

    The promotion comes later, in an epoch that nobody is told, or never: its outcome is unknown.
    """
    body = {"mode": "shadow", "percent": 100, "rules": PROMOTED_AT_ONCE}
    put = _put_beside(client, replica, version, body)
    if put.outcome == "unchanged":
        return [put]
    promotion = Operation(
        RULES, "use", replica.name, put.start, put.end, "unknown", model=put.second
    )
    return [put, promotion]


def _put_beside(client: str, replica: Target, version: int, body: dict[str, object]) -> Operation:
    whole = {"name": MODEL, "version": version, **body}
    return _direct(client, replica, "PUT", whole, f"{MODEL}/{version}")


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
            for done in self._change(replica, self._random.choice(self._versions)):
                self.acknowledged += done.outcome == "acknowledged"
                self._record(done)

    def _change(self, replica: Target, version: int) -> list[Operation]:
        if self._splits and self._random.random() < 0.5:
            kind = self._random.random()
            if kind < 0.2:
                return [end_split(self._name, replica)]
            if kind < 0.5:
                return let_prove(self._name, replica, version)
            return [split(self._name, replica, version, self._random.randint(1, 100))]
        # The client's epoch may be old: then another change must have come first.
        expected = (replica.epoch() or None) if self._compare_and_set else None
        return [use(self._name, replica, version, expected)]
