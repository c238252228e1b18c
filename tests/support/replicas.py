"""Replicas and peers in memory, whose steps a test observes and can make fail."""

from collections.abc import Sequence

from service.common.domain import Use, Version
from service.common.errors import (
    ChangeUnderWay,
)
from service.rollout.replica import Confirmation, Replica, Swapped
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

    def check_registration(self) -> None:
        """Nobody renames or deletes a model."""

    def cancel(self, training: str) -> bool:
        self._step("cancel")
        return training == self.id


class FakePeers:
    """A list of peers that a test changes."""

    def __init__(self, peers: Sequence[Replica]) -> None:
        self.peers = list(peers)

    def find(self) -> Sequence[Replica]:
        return self.peers

    def is_discoverable(self) -> bool:
        return True

    def close(self) -> None:
        pass
