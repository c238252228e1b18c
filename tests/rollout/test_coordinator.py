"""Changes of the model in use over several replicas: each step, and each failure of a step."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.common.domain import Use, Version
from service.common.errors import (
    ChangeUnderWay,
    EpochConflict,
    RegistryUnavailable,
    ReplicaDown,
    ReplicaSilent,
    VersionNotServable,
)
from service.common.metrics import Metrics
from service.rollout.change import Change
from service.rollout.coordinator import Coordinator
from service.rollout.poller import Poller
from tests.support.fakes import FakeRegistry
from tests.support.replicas import FakePeers, FakeReplica
from tests.support.waiting import wait_until

VERSION = Version("iris", 1, 0.0, "", "", {}, {}, {"model.onnx": "a"}, (), None)


class Scene:
    """Three replicas; `a` coordinates the change."""

    def __init__(self, folder: Path) -> None:
        self.journal: list[str] = []
        self.registry = FakeRegistry(folder)
        self.a, self.b, self.c = (FakeReplica(n, self.journal, self.registry) for n in "abc")
        self.peers = FakePeers([self.b, self.c])
        self.metrics = Metrics()
        self.replicas = Coordinator(self.a, self.peers, self.registry, self.metrics)  # type: ignore[arg-type]

    def use(self, expected_epoch: int | None = None) -> Change:
        return self.replicas.use(VERSION, "a test", expected_epoch)

    def epochs(self) -> list[int]:
        return [replica.epoch for replica in (self.a, self.b, self.c)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.replicas.close()


def test_every_step_ends_everywhere_before_the_next_begins(scene: Scene) -> None:
    change = scene.use()

    steps = [entry.split()[0] for entry in scene.journal]
    expected = ["grant", "prepare", "stage", "hold", "swap", "release"]
    assert steps == [step for step in expected for _ in range(3)]
    assert [one.epoch for one in change.replicas] == [1, 1, 1]
    assert change.missing == []


@pytest.mark.parametrize("step", ["grant", "prepare"])
@pytest.mark.parametrize(
    "error",
    [ReplicaSilent("b"), VersionNotServable("iris", 1, "no."), RegistryUnavailable("away.")],
)
def test_a_replica_that_fails_before_the_commit_leaves_everything_as_it_was(
    scene: Scene, step: str, error: Exception
) -> None:
    scene.b.fails[step] = error

    with pytest.raises(type(error)):
        scene.use()

    assert scene.registry.uses == []
    assert scene.epochs() == [0, 0, 0]
    assert [scene.a.leader, scene.c.leader] == [None, None]


@pytest.mark.parametrize("step", ["stage", "swap"])
def test_a_replica_that_falls_silent_after_the_commit_is_named_as_missing(
    scene: Scene, step: str
) -> None:
    scene.b.fails[step] = ReplicaSilent("b")

    change = scene.use()

    assert list(change.missing) == ["b"]
    assert scene.epochs() == [1, 0, 1]


class FailsAtFirst(FakeReplica):
    """Fails to read the log of use the first few times."""

    times = 0

    def stage(self, leader: str) -> int:
        self.times -= 1
        if self.times >= 0:
            raise RegistryUnavailable("it was reset.")
        return super().stage(leader)


@pytest.mark.parametrize("times", [1, 3])
def test_a_replica_that_fails_to_stage_at_first_is_awaited_before_any_swap(
    scene: Scene, times: int
) -> None:
    replica = FailsAtFirst("b", scene.journal, scene.registry)
    replica.times = times
    scene.peers.peers[0] = replica

    change = scene.use()

    steps = [entry.split()[0] for entry in scene.journal if entry[:4] in ("hold", "swap")]
    assert steps == ["hold"] * 3 + ["swap"] * 3
    assert change.missing == []


def test_a_replica_that_follows_after_the_others_have_swapped_stays_missing(scene: Scene) -> None:
    replica = FailsAtFirst("b", scene.journal, scene.registry)
    replica.times = 4
    scene.peers.peers[0] = replica

    change = scene.use()

    assert replica.epoch == 1
    assert list(change.missing) == ["b"]


def test_a_replica_that_does_not_hold_is_missing(scene: Scene) -> None:
    scene.b.fails["hold"] = ReplicaSilent("b")

    assert list(scene.use().missing) == ["b"]


def test_a_replica_whose_hold_ended_before_its_swap_is_missing(scene: Scene) -> None:
    scene.b.held = False

    change = scene.use()

    assert scene.epochs() == [1, 1, 1]
    assert [one.id for one in change.replicas] == ["a", "c"]
    assert list(change.missing) == ["b"]


def test_a_replica_alone_needs_no_hold(scene: Scene) -> None:
    scene.peers.peers = []
    scene.a.held = False

    assert list(scene.use().missing) == []
    assert "hold a" not in scene.journal


def test_a_replica_that_is_down_is_left_out(scene: Scene) -> None:
    for step in ("grant", "stage", "swap"):
        scene.b.fails[step] = ReplicaDown("b")

    change = scene.use()

    assert list(change.missing) == []
    assert [one.id for one in change.replicas] == ["a", "c"]


def test_a_replica_that_was_down_is_asked_again_when_all_others_have_changed(scene: Scene) -> None:
    scene.b.fails["grant"] = ReplicaDown("b")

    change = scene.use()

    assert scene.journal.index("stage b") > max(
        scene.journal.index("swap a"), scene.journal.index("swap c")
    )
    assert [one.id for one in change.replicas] == ["a", "b", "c"]


def test_a_replica_that_joins_during_the_change_follows_it_too(scene: Scene) -> None:
    late = FakeReplica("d", scene.journal, scene.registry)

    class Joins(FakeRegistry):
        def commit_use(self, *args: Any, **kwargs: Any) -> Use:
            scene.peers.peers.append(late)
            return FakeRegistry.commit_use(scene.registry, *args, **kwargs)

    replicas = Coordinator(scene.a, scene.peers, Joins(scene.registry.folder), Metrics())  # type: ignore[arg-type]
    replicas.use(VERSION, "a test")

    assert late.epoch == 1
    replicas.close()


def test_two_changes_never_mix(scene: Scene) -> None:
    others = Coordinator(scene.b, FakePeers([scene.a, scene.c]), scene.registry, Metrics())  # type: ignore[arg-type]
    threads = [
        threading.Thread(target=replicas.use, args=(VERSION, "a test"))
        for replicas in (scene.replicas, others)
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    others.close()

    swaps = [entry for entry in scene.journal if entry.startswith(("hold", "swap"))]
    assert [entry.split()[0] for entry in swaps] == (["hold"] * 3 + ["swap"] * 3) * 10
    assert scene.epochs() == [10, 10, 10]


def test_a_change_that_names_the_epoch_it_follows_loses_to_one_before_it(scene: Scene) -> None:
    scene.use(0)

    with pytest.raises(EpochConflict):
        scene.use(0)

    assert [use.epoch for use in scene.registry.uses] == [1]
    assert scene.use(1).use.epoch == 2


def test_an_entry_without_a_leader_is_brought_to_all_replicas_at_once(scene: Scene) -> None:
    scene.registry.commit_use(VERSION, "by hand")

    scene.replicas.catch_up(1)

    steps = [entry.split()[0] for entry in scene.journal if entry[:4] in ("hold", "swap")]
    assert steps == ["hold"] * 3 + ["swap"] * 3


def test_a_poller_leaves_a_change_to_its_leader(scene: Scene) -> None:
    poller = Poller(scene.a, scene.replicas, 1, scene.metrics)  # type: ignore[arg-type]
    scene.registry.commit_use(VERSION, "somebody")
    scene.a.leader = "somebody"

    poller.poll()
    assert scene.epochs() == [0, 0, 0]

    scene.a.leader = None
    poller.poll()
    assert scene.epochs() == [1, 1, 1]


class Restarted(FakeReplica):
    """A restarted replica with a version on its disk; its `stage` waits until that is served."""

    newest: Use | None = None

    def stage(self, leader: str) -> int:
        wait_until(lambda: self.epoch)
        return super().stage(leader)

    def recover(self, epoch: int) -> bool:
        self.epoch = epoch
        return True


def test_while_mlflow_is_slow_a_restarted_replica_serves_what_a_peer_confirms(
    scene: Scene,
) -> None:
    scene.use()
    local = Restarted("a", scene.journal, scene.registry)
    replicas = Coordinator(local, scene.peers, scene.registry, scene.metrics)  # type: ignore[arg-type]
    poller = Poller(local, replicas, 1, scene.metrics)  # type: ignore[arg-type]
    poller.slow_seconds = 0.0

    poller.poll()

    assert poller.reached
    assert local.epoch == 1
    replicas.close()


def test_a_version_that_mlflow_named_is_awaited_and_not_sought_from_peers(scene: Scene) -> None:
    scene.use()
    local = Restarted("a", scene.journal, scene.registry)
    local.newest = scene.registry.newest_use()
    replicas = Coordinator(local, scene.peers, scene.registry, scene.metrics)  # type: ignore[arg-type]
    poller = Poller(local, replicas, 1, scene.metrics)  # type: ignore[arg-type]

    poller.recover_if_unread()

    assert not poller.reached
    replicas.close()


def test_a_poller_gives_memory_back_once_after_each_change(scene: Scene) -> None:
    trims: list[int] = []
    poller = Poller(
        scene.a,  # type: ignore[arg-type]
        scene.replicas,
        1,
        scene.metrics,
        trim=lambda: trims.append(scene.epochs()[0]),
    )
    for _ in range(2):
        scene.registry.commit_use(VERSION, "somebody")
        poller.poll()
        for _ in range(3):
            poller.tidy()

    assert trims == [1, 2]


def test_a_poller_swaps_alone_only_after_it_could_not_bring_the_others(scene: Scene) -> None:
    poller = Poller(scene.a, scene.replicas, 1, scene.metrics)  # type: ignore[arg-type]
    scene.use()
    scene.registry.commit_use(VERSION, "by hand")
    scene.b.fails["grant"] = ReplicaSilent("b")

    for _ in range(2):
        poller.poll()
    assert scene.a.epoch == 1
    poller.poll()
    assert scene.a.epoch == 2


def test_a_training_is_cancelled_where_it_runs(scene: Scene) -> None:
    assert scene.replicas.cancel("c", owner="c")
    assert not scene.replicas.cancel("nowhere", owner="c")


@pytest.mark.parametrize("owner", ["b", "gone"])
def test_a_training_is_reported_as_not_open_only_if_its_owner_says_so(
    scene: Scene, owner: str
) -> None:
    scene.b.fails["cancel"] = ReplicaSilent("b")

    with pytest.raises(ReplicaSilent):
        scene.replicas.cancel("nowhere", owner=owner)


def test_a_training_is_cancelled_though_a_replica_that_does_not_run_it_is_silent(
    scene: Scene,
) -> None:
    scene.b.fails["cancel"] = ReplicaSilent("b")

    assert scene.replicas.cancel("c", owner="c")
    assert not scene.replicas.cancel("nowhere", owner="c")


class Blocked(FakeReplica):
    """Blocks while preparing a version until a test releases it."""

    def __init__(self, name: str, journal: list[str], registry: FakeRegistry) -> None:
        super().__init__(name, journal, registry)
        self.preparing, self.release_it = threading.Event(), threading.Event()

    def prepare(self, leader: str, version: Version) -> None:
        self.preparing.set()
        assert self.release_it.wait(60)
        super().prepare(leader, version)


def test_a_change_waits_a_bounded_time_for_another_one_of_the_same_replica(tmp_path: Path) -> None:
    journal: list[str] = []
    registry = FakeRegistry(tmp_path)
    local = Blocked("a", journal, registry)
    replicas = Coordinator(local, FakePeers([]), registry, Metrics(), wait_seconds=0.05)  # type: ignore[arg-type]
    first = threading.Thread(target=replicas.use, args=(VERSION, "a test"))
    first.start()
    assert local.preparing.wait(60)
    begun = journal.copy()

    with pytest.raises(ChangeUnderWay):
        replicas.use(VERSION, "a test")
    with pytest.raises(ChangeUnderWay):
        replicas.delete("iris", 2)
    with pytest.raises(ChangeUnderWay):
        replicas.catch_up(1)

    assert journal == begun
    local.release_it.set()
    first.join()
    assert [use.epoch for use in registry.uses] == [1]
    replicas.close()
