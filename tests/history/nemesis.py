"""Causes faults one after another, each ended within seconds, in an order given by a seed."""

import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.history.cluster import Cluster, Process
from tests.history.wires import Mode


@dataclass(frozen=True, slots=True)
class Event:
    """A fault and its time, in seconds of the monotonic clock."""

    kind: str
    replica: str
    start: float
    end: float
    lost: bool
    """Whether held data is lost instead of late."""


Fault = tuple[Callable[[], None], Callable[[], None]]
"""How a fault begins, and how it ends."""


class Nemesis:
    """Causes faults."""

    def __init__(self, cluster: Cluster, seed: int, longest: float = 6.0) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)
        self._longest = longest
        self.events: list[Event] = []

    def run(self, stop: threading.Event, names: Sequence[str], pause: float) -> None:
        """Cause these faults in turn until `stop`; each ends before the next."""
        for name in names:
            if stop.wait(pause * self._random.uniform(0.5, 1.5)):
                return
            self.cause(name)

    def names(self, count: int) -> list[str]:
        """Return this many faults, with every kind equally often."""
        kinds = list(FAULTS)
        named = [kinds[i % len(kinds)] for i in range(count)]
        self._random.shuffle(named)
        return named

    def cause(self, name: str) -> None:
        """Cause one fault, and end it."""
        replica = self._random.choice(self._cluster.replicas)
        drop = self._random.random() < 0.5
        # Half of them are so short that they end within a change.
        seconds = self._random.choice(
            [self._random.uniform(0.05, 0.5), self._random.uniform(1.0, self._longest)]
        )
        begin, mend = FAULTS[name](self._cluster, replica, drop)
        start = time.monotonic()
        begin()
        try:
            threading.Event().wait(seconds)
        finally:
            mend()
        self.events.append(Event(name, replica.name, start, time.monotonic(), drop))


def _pause(_: Cluster, replica: Process, __: bool) -> Fault:
    return lambda: replica.signal(signal.SIGSTOP), lambda: replica.signal(signal.SIGCONT)


def _kill(_: Cluster, replica: Process, __: bool) -> Fault:
    return replica.kill, replica.start


def _mlflow(mode: Mode) -> Callable[[Cluster, Process, bool], Fault]:
    def fault(cluster: Cluster, _: Process, drop: bool) -> Fault:
        return lambda: cluster.mlflow(mode), lambda: cluster.mlflow("open", drop)

    return fault


def _cut_peers(cluster: Cluster, replica: Process, drop: bool) -> Fault:
    return (
        lambda: cluster.peers_of(replica, "held"),
        lambda: cluster.peers_of(replica, "open", drop),
    )


def _cut_mlflow(_: Cluster, replica: Process, drop: bool) -> Fault:
    return lambda: replica.mlflow.set("held"), lambda: replica.mlflow.set("open", drop)


def _cut_both(cluster: Cluster, replica: Process, drop: bool) -> Fault:
    peers, mlflow = _cut_peers(cluster, replica, drop), _cut_mlflow(cluster, replica, drop)

    def begin() -> None:
        peers[0]()
        mlflow[0]()

    def mend() -> None:
        peers[1]()
        mlflow[1]()

    return begin, mend


FAULTS: dict[str, Callable[[Cluster, Process, bool], Fault]] = {
    "stop": _pause,
    "kill": _kill,
    "mlflow-refuses": _mlflow("refused"),
    "mlflow-hangs": _mlflow("held"),
    "mlflow-answers-500": _mlflow("failing"),
    "cut-from-peers": _cut_peers,
    "cut-from-mlflow": _cut_mlflow,
    "cut-from-both": _cut_both,
}
