"""A short history of three replicas with changes and faults keeps every promise.

The checker finds the defect of each server that breaks one.

`make jepsen` runs the long one.
"""

import sqlite3
import threading

import pytest

from service.common.settings import Settings
from tests.history.checker import unavailability
from tests.history.cluster import Cluster
from tests.history.conftest import Store
from tests.history.history import Operation
from tests.history.mover import Mover, at_address, made_by
from tests.history.nemesis import Nemesis
from tests.history.run import AGREEMENT_SECONDS, Run, at, describe, execute
from tests.history.writers import use, use_acknowledged
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

MOVES = 20
POLL_SECONDS = Settings().poll_seconds


def test_changes_without_faults_cost_no_prediction(three: Cluster, store: Store) -> None:
    run = execute(
        three, store.versions, 6, pauses=(0.3, 0.5, 0.5),
        enough=lambda run: run.count("acknowledged") >= 3,
    )  # fmt: skip

    violations = run.violations()
    assert violations == [], describe(violations)
    assert unavailability(run.history) == {}
    assert run.count("unknown") == 0, run.summary()


def test_splits_and_promotions_among_the_changes_keep_every_promise(
    three: Cluster, store: Store
) -> None:
    run = execute(
        three, store.versions, 6, pauses=(0.3, 0.5, 0.5), splits=True,
        enough=lambda run: len(_splits(run)) >= 3 and bool(_second_readers(run)),
    )  # fmt: skip

    violations = run.violations()
    assert violations == [], describe(violations)
    assert unavailability(run.history) == {}


def _splits(run: Run) -> list[Operation]:
    return [one for one in run.uses if one.second and one.outcome == "acknowledged"]


def _second_readers(run: Run) -> list[Operation]:
    """Return the reads that the second version of a split answered."""
    seconds = {(one.epoch, one.second) for one in _splits(run)}
    history = list(run.history)
    return [one for one in history if one.kind == "read" and (one.epoch, one.model) in seconds]


def test_a_promotion_by_the_rules_keeps_every_promise(three: Cluster, store: Store) -> None:
    before = made_by(at_address(store.uri), "rules of the traffic")

    run = execute(three, store.versions, 0, pauses=(), prove=store.versions[1])

    violations = run.violations()
    assert violations == [], describe(violations)
    assert unavailability(run.history) == {}
    assert made_by(at_address(store.uri), "rules of the traffic") == before + 1


def test_moves_of_a_followed_alias_cost_no_prediction(three: Cluster, store: Store) -> None:
    mover = Mover(three, store.uri, store.versions, MOVES)
    before = mover.changes()

    run = execute(three, store.versions, 0, pauses=(), mover=mover)

    violations = run.violations()
    assert violations == [], describe(violations)
    assert unavailability(run.history) == {}
    assert run.count("acknowledged") >= MOVES / 2, run.summary()
    assert mover.changes() - before == MOVES
    served = [replica.ask("GET", "/schema")[1]["version"] for replica in three.replicas]
    assert served == [mover.last] * 3
    assert at(run.acknowledgements(), 0.5) < 2 * POLL_SECONDS, run.summary()


def test_faults_break_no_promise_and_all_agree_afterwards(three: Cluster, store: Store) -> None:
    nemesis = Nemesis(three, seed=5, longest=2.0)
    faults = ["cut-from-peers", "stop", "mlflow-hangs", "kill", "cut-from-mlflow"]

    run = execute(three, store.versions, 0, nemesis=nemesis, faults=faults, fault_pause=0.5)

    violations = run.violations()
    assert violations == [], f"{describe(violations)}\n{run.events}"
    assert len(run.events) == len(faults)
    assert run.agreed_after < AGREEMENT_SECONDS, run.summary()


def test_a_change_that_mlflow_makes_late_is_never_called_unchanged(
    three: Cluster, store: Store
) -> None:
    leader, one, other = three.replicas[0], *store.versions[:2]
    first = use_acknowledged("writer", leader, one)
    database = sqlite3.connect(store.database, isolation_level=None, check_same_thread=False)
    answered = threading.Event()

    def lock() -> None:
        # From the commit on, writes to the database fail and reads succeed.
        database.execute("BEGIN IMMEDIATE")
        threading.Thread(target=free).start()

    def free() -> None:
        answered.wait(15)
        database.execute("ROLLBACK")
        database.close()

    leader.mlflow.tripwire = (b"/model-versions/create", lock)
    try:
        late = use("writer", leader, other)
    finally:
        answered.set()

    # The change happens after all: `unchanged` would have been wrong.
    wait_until(lambda: three.agree(first.epoch + 1), AGREEMENT_SECONDS)
    assert late.outcome == "unknown", late


@pytest.mark.parametrize(
    ("defects", "rules"),
    [
        (("acknowledge-early",) * 3, {"stale-after-acknowledgement"}),
        (("", "", "late"), {"stale-after-acknowledgement"}),
        (("no-hold",) * 3, {"went-back"}),
        (("own-split",) * 3, {"key-of-both"}),
    ],
    ids=["acknowledge-early", "one-replica-late", "no-hold", "own-split"],
)
def test_a_server_that_breaks_the_promise_is_caught(
    breakable: Cluster, store: Store, defects: tuple[str, ...], rules: set[str]
) -> None:
    for replica, defect in zip(breakable.replicas, defects, strict=True):
        replica.give(defect)

    run = execute(breakable, store.versions, 3, pauses=(0.1,), splits="own-split" in defects)

    violations = run.violations()
    assert rules <= {violation.rule for violation in violations}, describe(violations)


def test_a_server_that_breaks_the_promise_while_it_follows_an_alias_is_caught(
    breakable: Cluster, store: Store
) -> None:
    for replica in breakable.replicas:
        replica.give("no-hold")

    mover = Mover(breakable, store.uri, store.versions, MOVES // 2)
    run = execute(breakable, store.versions, 0, pauses=(), mover=mover)

    violations = run.violations()
    assert "went-back" in {violation.rule for violation in violations}, describe(violations)
