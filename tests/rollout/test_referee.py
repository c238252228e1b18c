"""The rules are looked at once a minute, by one replica, and acted on."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.common.metrics import Metrics
from service.common.traffic import Compared, Rules, Traffic
from service.rollout.referee import BY, LOOK_SECONDS, Referee
from service.rollout.replica_traffic import ReplicaTraffic
from service.rollout.traffic_counts import TrafficCounts
from tests.support.fakes import FakeRegistry, make_version
from tests.support.references import FakeClock

FIRST, SECOND = make_version(version=1), make_version(version=2)
RULES = Rules(rows=10, agreement=0.9, promote=True, end=True)
GOOD, BAD = Compared(rows=10, agreed=10), Compared(rows=10, agreed=1)


class FakeLocal:
    """A replica that reads the log of use at once."""

    id = "b"
    leader = None

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    @property
    def newest(self):  # type: ignore[no-untyped-def]
        return self._registry.newest_use()

    def second_of(self, _: object):  # type: ignore[no-untyped-def]
        return SECOND


class FakeCoordinator:
    """Commits without any replica."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    def use(self, version, by, epoch, wait, decision):  # type: ignore[no-untyped-def]
        assert wait == 0
        return self._registry.commit_use(version, by, epoch, decision=decision)

    def direct(self, second, traffic, by, epoch, decision):  # type: ignore[no-untyped-def]
        assert (second, traffic) == (None, None)
        return self._registry.commit_use(FIRST, by, epoch, decision=decision)


class Peers:
    """Other replicas, with what they counted."""

    def __init__(self) -> None:
        self.others: list[ReplicaTraffic] = []
        self.missing: list[str] = []

    def traffic(self, _: int) -> tuple[list[ReplicaTraffic], list[str]]:
        return self.others, self.missing


class Scene:
    """A referee whose clock and counts a test sets."""

    def __init__(self, folder: Path) -> None:
        self.registry = FakeRegistry(folder)
        self.peers, self.clock = Peers(), FakeClock()
        self.compared, self.metrics = Compared(), Metrics()
        local = FakeLocal(self.registry)
        counts = TrafficCounts("b", lambda _: self.compared, self.peers)  # type: ignore[arg-type]
        coordinator = FakeCoordinator(self.registry)
        self.referee = Referee(
            local, coordinator, counts, self.metrics, self.clock  # type: ignore[arg-type]
        )  # fmt: skip

    def begin(self, rules: Rules | None = RULES) -> None:
        traffic = Traffic(
            "m", 2, SECOND.digest, SECOND.run_id, SECOND.created_at, "shadow", 100, "", rules
        )
        self.registry.commit_use(FIRST, "a test", traffic=traffic)
        self.referee.poll()

    def look(self) -> None:
        self.clock.now += LOOK_SECONDS
        self.referee.poll()

    def decided(self) -> dict[str, float]:
        """Return how often each was decided, as Prometheus is shown it."""
        name = "service_traffic_decisions_total"
        counted = self.metrics.registry.get_sample_value
        return {one: counted(name, {"decision": one}) or 0.0 for one in ("promote", "end")}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_version_that_keeps_the_rules_is_put_in_use(scene: Scene) -> None:
    scene.begin()
    scene.compared = GOOD

    scene.look()

    use = scene.registry.uses[-1]
    assert (use.epoch, use.version, use.traffic, use.by) == (2, 2, None, BY)
    assert "agreement: 100 %" in use.decision
    assert scene.decided() == {"promote": 1, "end": 0}


def test_one_that_does_not_goes(scene: Scene) -> None:
    scene.begin()
    scene.compared = BAD

    scene.look()

    use = scene.registry.uses[-1]
    assert (use.epoch, use.version, use.traffic, use.by) == (2, 1, None, BY)
    assert "does not hold" in use.decision
    assert scene.decided() == {"promote": 0, "end": 1}


def test_nothing_is_decided_before_the_minute_is_over(scene: Scene) -> None:
    scene.begin()
    scene.compared = GOOD

    scene.clock.now += LOOK_SECONDS - 1
    scene.referee.poll()

    assert len(scene.registry.uses) == 1


def test_rows_of_all_replicas_count(scene: Scene) -> None:
    scene.begin(replace(RULES, rows=30))
    scene.compared = GOOD
    scene.peers.others = [ReplicaTraffic("c", GOOD), ReplicaTraffic("d", None)]
    scene.look()
    assert len(scene.registry.uses) == 1

    scene.peers.others = [ReplicaTraffic("c", GOOD), ReplicaTraffic("d", GOOD)]
    scene.look()

    assert len(scene.registry.uses) == 2


def test_only_the_first_replica_acts(scene: Scene) -> None:
    scene.begin()
    scene.compared = GOOD
    scene.peers.others = [ReplicaTraffic("a", GOOD)]

    scene.look()

    assert len(scene.registry.uses) == 1


def test_while_a_replica_is_silent_nothing_is_decided(scene: Scene) -> None:
    scene.begin()
    scene.compared = GOOD
    scene.peers.missing = ["http://c"]

    scene.look()

    assert len(scene.registry.uses) == 1


@pytest.mark.parametrize("rules", [None, replace(RULES, promote=False, end=False)])
def test_without_rules_to_act_on_nothing_is_changed(scene: Scene, rules: Rules | None) -> None:
    scene.begin(rules)
    scene.compared = GOOD

    scene.look()

    assert len(scene.registry.uses) == 1
    assert scene.decided() == {"promote": 0, "end": 0}


def test_what_rules_say_that_leave_it_to_people_is_known_from_the_first_look_on(
    scene: Scene,
) -> None:
    scene.begin(replace(RULES, promote=False, end=False))
    scene.compared = BAD
    assert scene.referee.judgement(1) is None

    scene.look()

    judgement = scene.referee.judgement(1)
    assert judgement is not None
    assert {one.name: one.holds for one in judgement.figures} == {"rows": True, "agreement": False}
    assert scene.referee.judgement(2) is None, "nothing is known of another epoch"


def test_a_replica_that_does_not_act_knows_what_the_rules_say_of_all(scene: Scene) -> None:
    scene.begin(replace(RULES, rows=20))
    scene.compared = GOOD
    scene.peers.others = [ReplicaTraffic("a", GOOD)]

    scene.look()

    judgement = scene.referee.judgement(1)
    assert judgement is not None
    assert judgement.decision == "promote"
    assert scene.decided() == {"promote": 0, "end": 0}


def test_what_the_rules_said_stays_while_a_replica_is_silent(scene: Scene) -> None:
    scene.begin(replace(RULES, end=False))
    scene.compared = BAD
    scene.look()
    before = scene.referee.judgement(1)

    scene.compared, scene.peers.missing = GOOD, ["http://c"]
    scene.look()

    assert before is not None
    assert scene.referee.judgement(1) == before


def test_an_error_is_tried_again_a_minute_later(scene: Scene) -> None:
    scene.begin()
    scene.compared = GOOD
    scene.registry.commit_use(FIRST, "somebody", traffic=scene.registry.uses[-1].traffic)
    scene.referee.poll()

    scene.look()

    assert scene.registry.uses[-1].by == BY
