"""Runs readers and writers in a pod of the cluster, and writes the history of their requests.

Some readers use one replica, others go through the Service. The output ends with the history in one
line (JSON lines, gzip, Base64), which `tests.history.checker` checks outside the cluster.
"""

import base64
import gzip
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.history import history
from tests.history.clients import Reader
from tests.history.history import Operation
from tests.history.target import Target
from tests.history.writers import Writer, use_acknowledged

REACH_SECONDS = 40.0


class Pods:
    """The replicas behind a DNS name, resolved twice a second."""

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self._port = port
        self.found: list[Target] = []
        self.look()

    def look(self) -> None:
        """Resolve the name; if that fails, keep the replicas found before."""
        try:
            answers = socket.getaddrinfo(self._name, self._port, type=socket.SOCK_STREAM)
        except OSError:
            return
        hosts = sorted({str(answer[4][0]) for answer in answers})
        self.found = [Target(host, host, self._port) for host in hosts]

    def run(self, stop: threading.Event) -> None:
        """Resolve the name repeatedly until `stop`."""
        while not stop.wait(0.5):
            self.look()

    def pick(self, place: int) -> Target:
        """Return the replica at this index."""
        return self.found[place % len(self.found)]


def record(plan: dict[str, Any]) -> list[Operation]:
    """Run clients for this many seconds; return their operations."""
    seen: list[Operation] = []
    service = Target("service", plan["service"], plan["service_port"])
    pods = Pods(plan["pods"], plan["port"])
    versions, rate = plan["versions"], plan["rate"] / (len(pods.found) + 3)
    seen.append(use_acknowledged("first", service, versions[0]))
    readers = [
        Reader(f"pinned {place}", lambda place=place: pods.pick(place), rate, seen.append)  # type: ignore[misc]
        for place in range(len(pods.found))
    ]
    readers += [
        Reader("service, kept", lambda: service, rate, seen.append),
        Reader("service, fresh", lambda: service, rate, seen.append, fresh=True),
        Reader("service, no older", lambda: service, rate, seen.append, minimum=True, fresh=True),
    ]
    writers = [
        Writer(
            f"writer {place}", [service], versions, pause, seen.append, place,
            compare_and_set=place > 0,
        )
        for place, pause in enumerate(plan["pauses"])
    ]  # fmt: skip
    work: list[Callable[[threading.Event], None]] = [pods.run]
    work += [reader.run for reader in readers]
    work += [writer.run for writer in writers]
    stop = threading.Event()
    threads = [threading.Thread(target=one, args=(stop,)) for one in work]
    for thread in threads:
        thread.start()
    third = plan["seconds"] / 3
    for name in ("sending", "a third is over", "two thirds are over"):
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        stop.wait(third)
    stop.set()
    for thread in threads:
        thread.join(90)
    return seen


def reach(plan: dict[str, Any]) -> None:
    """Wait until the service answers, as a new pod may have no network at first."""
    service = Target("service", plan["service"], plan["service_port"])
    deadline = time.monotonic() + REACH_SECONDS
    while not service.answers("/healthz"):
        if time.monotonic() > deadline:
            raise SystemExit("the service was not reached")
        time.sleep(0.25)


def main(plan: dict[str, Any]) -> None:
    """Wait for the service, record, and write the history as the last line."""
    reach(plan)
    seen = record(plan)
    sys.stdout.write(base64.b64encode(gzip.compress(history.encode(seen))).decode() + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
