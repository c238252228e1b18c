"""Replicas, peers and a loader in memory, whose steps a test observes and can make fail."""

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace

from service.common.domain import Use, Version
from service.common.errors import ChangeUnderWay, VersionNotServable
from service.rollout.figures import Figures
from service.rollout.replica import Confirmation, Replica, Swapped
from service.rollout.replica_skew import ReplicaSkew
from service.rollout.replica_traffic import ReplicaTraffic
from tests.support.fakes import FakeRegistry


class FakeReplica:
    """A replica that records its steps in a shared journal, and fails at the steps in `fails`."""

    url = ""

    def __init__(self, name: str, journal: list[str], registry: FakeRegistry) -> None:
        self.id = name
        self.epoch = 0
        self.staged = 0
        self.leader: str | None = None
        self.held = True
        self.newest: Use | None = None
        self.fails: dict[str, Exception] = {}
        self._journal = journal
        self._registry = registry

    def _step(self, step: str) -> None:
        if step in self.fails:
            raise self.fails[step]
        self._journal.append(f"{step} {self.id}")

    def grant(self, leader: str) -> None:
        self._step("grant")
        if self.leader not in (None, leader):
            raise ChangeUnderWay
        self.leader = leader

    def release(self, leader: str) -> None:
        self._step("release")
        self.leader = None if self.leader == leader else self.leader

    def prepare(self, leader: str, version: Version) -> None:  # noqa: ARG002
        self._step("prepare")

    def stage(self, leader: str) -> int:  # noqa: ARG002
        self._step("stage")
        use = self._registry.newest_use()
        self.newest = use
        self.staged = 0 if use is None else use.epoch
        return self.staged

    def hold(self) -> None:
        self._step("hold")

    def swap(self) -> Swapped:
        self._step("swap")
        self.epoch = self.staged
        return Swapped(self.confirm(), self.held)

    def confirm(self) -> Confirmation:
        return Confirmation(self.id, self.url, self.epoch)

    def present(self, use: Use | None) -> Use | None:
        return use

    def check_registration(self, now: bool = False) -> None:
        """Nobody renames or deletes a model."""

    def cancel(self, training: str) -> bool:
        self._step("cancel")
        return training == self.id


class FakePredictor:
    """A predictor with a name and nothing else."""

    def __init__(self, version: Version) -> None:
        self.name = version.name
        self.version = version.version
        self._version = version

    def renamed(self, name: str) -> "FakePredictor":
        return FakePredictor(replace(self._version, name=name))


class FakeLoader:
    """Loads at once, and records what was loaded and pinned; refuses the versions in `refused`."""

    def __init__(self) -> None:
        self.loaded: list[weakref.ref[FakePredictor]] = []
        self.pinned: tuple[Version, ...] = ()
        self.refused: set[int] = set()

    def load(self, version: Version) -> FakePredictor:
        if version.version in self.refused:
            raise VersionNotServable(version.name, version.version, "a test refuses it.")
        predictor = FakePredictor(version)
        self.loaded.append(weakref.ref(predictor))
        return predictor

    def pin(self, *versions: Version) -> None:
        self.pinned = versions

    def alive(self) -> int:
        gc.collect()
        return sum(reference() is not None for reference in self.loaded)


class FakePeers:
    """A list of peers that a test changes."""

    def __init__(self, peers: Sequence[Replica]) -> None:
        self.peers = list(peers)

    def find(self) -> Sequence[Replica]:
        return self.peers

    def is_discoverable(self) -> bool:
        return True

    def figures(self) -> tuple[Sequence[Figures], Sequence[str]]:
        return (), ()

    def skew(self, *_: object) -> tuple[Sequence[ReplicaSkew], Sequence[str]]:
        return (), ()

    def traffic(self, _: int) -> tuple[Sequence[ReplicaTraffic], Sequence[str]]:
        return (), ()

    def close(self) -> None:
        pass
