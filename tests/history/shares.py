"""Counts how a split shares clients between two versions, in all replicas."""

import http.client
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from tests.history.target import INSTANCE, KEY, Target
from tests.history.writers import split
from tests.support.waiting import wait_until

_PUT_SECONDS = 30.0
_BODY = orjson.dumps({"instances": [INSTANCE]})


@dataclass(frozen=True, slots=True)
class Shares:
    """The clients that were answered by the second version of a split."""

    percent: int
    keys: int
    """Clients, each of which asked every replica."""
    second: int
    """Clients that the second version answered, in the first replica."""
    both: int
    """Clients that one replica answered with one version, and another with the other."""

    @property
    def told(self) -> float:
        """Return the share of the second version, in percent."""
        return 100 * self.second / self.keys


def count(replicas: Sequence[Target], second: int, percent: int, keys: int) -> Shares:
    """Split clients between the version in use and `second`, and ask every replica for each."""
    # Until a change that came between, such as a promotion, is over.
    wait_until(
        lambda: split("shares", replicas[0], second, percent).outcome == "acknowledged",
        _PUT_SECONDS,
    )
    versions: list[list[str]] = [[] for _ in replicas]
    threads = [
        threading.Thread(target=_ask, args=(replica, keys, found))
        for replica, found in zip(replicas, versions, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered = list(zip(*versions, strict=True))
    return Shares(
        percent,
        len(answered),
        sum(one[0] == str(second) for one in answered),
        sum(len(set(one)) > 1 for one in answered),
    )


def _ask(replica: Target, keys: int, versions: list[str]) -> None:
    connection = http.client.HTTPConnection(replica.host, replica.port, timeout=10)
    for number in range(keys):
        headers = {"content-type": "application/json", KEY: f"customer {number}"}
        connection.request("POST", "/predict", _BODY, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        versions.append(answer.headers["x-model-version"])
    connection.close()
