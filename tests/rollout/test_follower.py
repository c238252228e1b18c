"""An alias of the model in use, followed by three replicas in one process."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.common.domain import Version
from service.common.errors import (
    ChangeUnderWay,
    RegistryUnavailable,
    ReplicaSilent,
    ServiceError,
    StorageUnavailable,
    VersionNotServable,
)
from service.common.metrics import Metrics
from service.rollout.coordinator import WAIT_SECONDS, Coordinator
from service.rollout.follower import RETRY_SECONDS, Follower
from service.rollout.last_served import LastServed
from service.rollout.local_replica import LocalReplica
from service.rollout.poller import Poller
from service.serving.current_model import CurrentModel
from tests.support.fakes import FakeRegistry, make_version
from tests.support.replicas import FakeLoader, FakePeers, FakeReplica

ALIAS = "champion"


class Member:
    """A replica with everything that follows an alias; `poll` is its poller's."""

    def __init__(self, replica: FakeReplica | LocalReplica, scene: "Scene") -> None:
        self.replica = replica
        self.peers = FakePeers([])
        self.metrics = Metrics()
        local: LocalReplica = replica  # type: ignore[assignment]
        self.coordinator = Coordinator(local, self.peers, scene.registry, self.metrics)
        self.follower = Follower(
            local, self.coordinator, scene.registry, self.metrics, lambda: scene.now
        )
        self.poller = Poller(local, self.coordinator, 1, self.metrics, lead=self.follower.poll)

    def poll(self) -> None:
        self.poller.poll_and_lead()

    def error(self) -> str:
        newest = self.replica.newest
        assert newest is not None
        return self.follower.error(newest) or ""

    def failed(self) -> float | None:
        return self.metrics.registry.get_sample_value("service_alias_follow_failed")


class Scene:
    """Versions 1 to 5 of a model, of which version 1 is in use by its alias."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.journal: list[str] = []
        self.registry = FakeRegistry(folder)
        for number in range(1, 6):
            version = make_version(name="m", version=number, created_at=float(number))
            self.registry.versions["m", number] = version
        self.registry.numbers["m"] = 5
        self.members = [Member(FakeReplica(n, self.journal, self.registry), self) for n in "abc"]
        for member in self.members:
            member.peers.peers = [other.replica for other in self.members if other is not member]
        self.a, self.b, self.c = self.members

    def follow(self, member: Member, version: int = 1) -> None:
        """Put the version in use that the alias names, and follow the alias."""
        self.move(version)
        target = self.registry.versions["m", version]
        member.coordinator.use(target, "a test", follows=ALIAS)

    def move(self, version: int) -> None:
        self.registry.aliases["m", ALIAS] = version

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            for member in self.members:
                member.poll()

    def used(self) -> list[int]:
        return [use.version for use in self.registry.uses]

    def prepared(self) -> int:
        return sum(entry.startswith("prepare") for entry in self.journal)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    scene.follow(scene.a)
    yield scene
    for member in scene.members:
        member.coordinator.close()


def test_a_moved_alias_changes_every_replica_once_and_is_followed_further(scene: Scene) -> None:
    for version in (2, 5, 3):
        scene.move(version)
        begun = len(scene.journal)
        scene.poll(3)

    assert scene.used() == [1, 2, 5, 3]
    assert [use.follows for use in scene.registry.uses] == [ALIAS] * 4
    assert scene.registry.uses[-1].by == f"alias {ALIAS}"
    assert [member.replica.confirm().epoch for member in scene.members] == [4, 4, 4]
    steps = [entry.split()[0] for entry in scene.journal[begun:]]
    change = ["grant", "prepare", "stage", "hold", "swap", "release"]
    polled = ["stage"] * 8
    assert steps == ["stage", *(step for step in change for _ in range(3)), *polled]


def test_of_replicas_that_poll_at_one_time_one_makes_the_change(scene: Scene) -> None:
    for move in range(20):
        scene.move(2 + move % 2)
        together = threading.Barrier(3)

        def poll(member: Member, together: threading.Barrier = together) -> None:
            together.wait(60)
            member.poll()

        threads = [threading.Thread(target=poll, args=(one,)) for one in scene.members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        scene.poll()

    assert scene.used() == [1, *[2, 3] * 10]
    assert [member.error() for member in scene.members] == [""] * 3


def test_of_two_replicas_that_see_one_move_the_later_loses_without_a_failure(
    scene: Scene,
) -> None:
    scene.move(2)
    find = scene.registry.version_of_alias

    def overtaken(name: str, alias: str) -> Version:
        version = find(name, alias)
        scene.registry.version_of_alias = find  # type: ignore[method-assign]
        scene.b.poll()
        return version

    scene.registry.version_of_alias = overtaken  # type: ignore[method-assign]
    scene.a.poll()

    assert [(use.version, use.by) for use in scene.registry.uses[1:]] == [(2, f"alias {ALIAS}")]
    assert (scene.a.error(), scene.a.failed()) == ("", 0.0)


def test_while_nothing_is_followed_nothing_is_asked(scene: Scene) -> None:
    scene.a.coordinator.use(scene.registry.versions["m", 4], "a test")
    scene.registry.alias_questions = 0
    scene.move(2)

    scene.poll(5)

    assert scene.registry.alias_questions == 0
    assert scene.used() == [1, 4]


def test_a_change_that_a_client_makes_ends_the_follow_that_has_not_seen_it(scene: Scene) -> None:
    scene.move(2)
    find = scene.registry.version_of_alias

    def late(name: str, alias: str) -> Version:
        version = find(name, alias)
        scene.b.coordinator.use(scene.registry.versions["m", 4], "a client")
        return version

    scene.registry.version_of_alias = late  # type: ignore[method-assign]
    scene.poll(2)

    assert scene.used() == [1, 4]
    assert [member.failed() for member in scene.members] == [0.0] * 3


def test_a_change_under_way_is_left_to_its_leader(scene: Scene) -> None:
    scene.move(2)
    fake = scene.a.replica
    assert isinstance(fake, FakeReplica)
    fake.leader = "somebody"
    scene.registry.alias_questions = 0

    scene.a.poll()
    assert (scene.used(), scene.registry.alias_questions) == ([1], 0)
    fake.leader = None
    scene.a.poll()
    assert scene.used() == [1, 2]


def test_a_version_that_cannot_be_served_is_told_once_and_not_tried_again_until_the_alias_moves(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.b.replica.fails["prepare"] = VersionNotServable("m", 2, "it is damaged.")  # type: ignore[union-attr]
    scene.move(2)
    before = scene.prepared()

    with caplog.at_level(logging.WARNING):
        scene.poll(5)

    assert scene.used() == [1]
    assert scene.prepared() - before == 2 * 3  # once by each replica; b itself refuses
    assert len(caplog.messages) == 3  # once in the log of each
    for member in scene.members:
        assert "names version 2 of 'm', which is not put in use" in member.error()
        assert "it is damaged." in member.error()
        assert member.failed() == 1.0
    assert "it is damaged." in scene.registry.versions["m", 2].follow_error

    scene.move(3)
    del scene.b.replica.fails["prepare"]  # type: ignore[union-attr]
    scene.poll()
    assert scene.used() == [1, 3]
    assert [(one.error(), one.failed()) for one in scene.members] == [("", 0.0)] * 3
    scene.move(2)
    scene.poll(2)
    assert scene.used() == [1, 3, 2]
    assert scene.registry.versions["m", 2].follow_error == ""


@pytest.mark.parametrize("error", [ReplicaSilent("b"), RegistryUnavailable("it is away.")])
def test_a_failure_that_may_pass_is_told_once_and_tried_again_with_the_next_poll(
    scene: Scene, caplog: pytest.LogCaptureFixture, error: ServiceError
) -> None:
    scene.b.replica.fails["prepare"] = error  # type: ignore[union-attr]
    scene.move(2)

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            scene.a.poll()
            assert str(error).rstrip(".") in scene.a.error()
            assert "names version 2 of 'm'" in scene.a.error()
            assert scene.a.failed() == 1.0
    assert (len(caplog.messages), scene.used()) == (1, [1])
    del scene.b.replica.fails["prepare"]  # type: ignore[union-attr]
    scene.a.poll()

    assert scene.used() == [1, 2]
    assert (scene.a.error(), scene.a.failed()) == ("", 0.0)
    assert scene.registry.versions["m", 2].follow_error == ""


def test_a_full_disk_is_not_filled_again_with_every_poll(scene: Scene) -> None:
    scene.b.replica.fails["prepare"] = StorageUnavailable("no space is left")  # type: ignore[union-attr]
    scene.move(2)
    scene.a.poll()
    tried = scene.prepared()

    scene.a.poll()
    assert scene.prepared() == tried
    scene.now += RETRY_SECONDS
    scene.a.poll()
    assert scene.prepared() > tried


def test_a_change_of_another_leader_is_no_failure_and_not_awaited(scene: Scene) -> None:
    scene.b.replica.fails["grant"] = ChangeUnderWay()  # type: ignore[union-attr]
    scene.move(2)
    start = time.monotonic()

    scene.a.poll()

    assert time.monotonic() - start < WAIT_SECONDS
    assert (scene.used(), scene.a.error(), scene.a.failed()) == ([1], "", 0.0)


@pytest.mark.parametrize(
    "end", [lambda registry: registry.aliases.clear(), lambda registry: registry.delete_model("m")]
)
def test_an_alias_that_was_deleted_leaves_the_version_in_use_and_is_told_once(
    scene: Scene, caplog: pytest.LogCaptureFixture, end: Callable[[FakeRegistry], None]
) -> None:
    end(scene.registry)

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            scene.a.poll()

    assert (len(caplog.messages), scene.used(), scene.a.failed()) == (1, [1], 1.0)
    assert "Version 1 of 'm' stays in use." in scene.a.error()


def test_an_alias_that_is_set_again_is_followed(scene: Scene) -> None:
    scene.registry.aliases.clear()
    scene.poll()
    scene.move(2)
    scene.poll()

    assert scene.used() == [1, 2]
    assert [(one.error(), one.failed()) for one in scene.members] == [("", 0.0)] * 3


def test_an_mlflow_that_is_down_says_nothing_about_the_alias(scene: Scene) -> None:
    scene.poll()
    scene.move(2)
    scene.registry.down = True

    scene.poll(2)
    assert [(one.error(), one.failed()) for one in scene.members] == [("", 0.0)] * 3
    scene.registry.down = False
    scene.poll()

    assert scene.used() == [1, 2]


def test_a_tag_that_mlflow_did_not_take_is_written_by_a_later_poll(scene: Scene) -> None:
    keep, lost = scene.registry.keep_follow_error, ["once"]

    def loses_one(*kept: object) -> None:
        if lost:
            lost.pop()
            raise RegistryUnavailable("it was reset.")
        keep(*kept)  # type: ignore[arg-type]

    scene.registry.keep_follow_error = loses_one  # type: ignore[assignment, method-assign]
    scene.b.replica.fails["prepare"] = VersionNotServable("m", 2, "no.")  # type: ignore[union-attr]
    scene.move(2)

    scene.a.poll()
    assert scene.registry.versions["m", 2].follow_error == ""
    scene.a.poll()
    assert "no." in scene.registry.versions["m", 2].follow_error


def _alone(scene: Scene) -> Member:
    """Start a real replica that is alone, or start it again, on the same disk and log."""
    local = LocalReplica(
        "d",
        scene.registry,
        FakeLoader(),  # type: ignore[arg-type]
        CurrentModel(),
        Metrics(),
        LastServed(scene.folder / "last.json"),
        clock=lambda: scene.now,
    )
    return Member(local, scene)


def _newest(member: Member) -> tuple[str, int, str]:
    newest = member.replica.newest
    assert newest is not None
    return newest.name, newest.version, newest.follows


def test_a_model_that_is_renamed_is_followed_under_its_new_name(scene: Scene) -> None:
    alone = _alone(scene)
    alone.poll()

    for version, (name, new_name) in ((2, ("m", "second")), (3, ("second", "third"))):
        scene.registry.rename_model(name, new_name)
        alone.poll()
        assert _newest(alone) == (new_name, version - 1, ALIAS)
        scene.registry.aliases[new_name, ALIAS] = version
        alone.poll()
        assert _newest(alone) == (new_name, version, ALIAS)
        assert (alone.error(), alone.failed()) == ("", 0.0)

    alone.coordinator.close()


def test_another_model_that_gets_the_old_name_and_alias_is_not_followed(scene: Scene) -> None:
    alone = _alone(scene)
    alone.poll()
    scene.registry.rename_model("m", "second")
    other = make_version(name="m", version=5, created_at=99.0, run_id="other")
    scene.registry.versions["m", 5] = other
    scene.registry.numbers["m"] = 5
    scene.move(5)

    alone.poll()
    assert _newest(alone) == ("second", 1, ALIAS)
    scene.registry.aliases["second", ALIAS] = 2
    alone.poll()

    assert _newest(alone) == ("second", 2, ALIAS)
    assert scene.used() == [1, 2]
    alone.coordinator.close()


def test_a_starting_replica_serves_what_is_in_use_before_it_looks_at_the_alias(
    scene: Scene,
) -> None:
    scene.move(4)
    alone = _alone(scene)

    assert alone.poller.poll()
    assert (alone.replica.confirm().epoch, scene.used()) == (1, [1])
    alone.poll()
    assert (alone.replica.confirm().epoch, scene.used()) == (2, [1, 4])
    alone.coordinator.close()


def test_a_restarted_replica_follows_the_alias_of_the_log(scene: Scene) -> None:
    _alone(scene).poll()
    scene.move(4)

    restarted = _alone(scene)
    restarted.poll()

    assert scene.used() == [1, 4]
    assert restarted.replica.confirm().epoch == 2
    restarted.coordinator.close()
