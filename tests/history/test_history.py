"""A short history of three replicas: changes and faults, and every promise kept.

`make jepsen` runs the long one.
"""

from tests.history.checker import unavailability
from tests.history.cluster import Cluster
from tests.history.conftest import Store
from tests.history.nemesis import Nemesis
from tests.history.run import AGREEMENT_SECONDS, describe, execute


def test_changes_without_faults_cost_no_prediction(three: Cluster, store: Store) -> None:
    run = execute(three, store.versions, 10, pauses=(0.3, 0.5, 0.5))

    violations = run.violations()
    assert violations == [], describe(violations)
    assert unavailability(run.history) == {}
    assert run.count("acknowledged") >= 3
    assert run.count("committed") == run.count("unknown") == 0, run.summary()


def test_faults_break_no_promise_and_all_agree_afterwards(three: Cluster, store: Store) -> None:
    nemesis = Nemesis(three, seed=5, longest=2.0)
    faults = ["cut-from-peers", "stop", "mlflow-hangs", "kill", "cut-from-mlflow"]

    run = execute(three, store.versions, 20, nemesis=nemesis, faults=faults)

    violations = run.violations()
    assert violations == [], f"{describe(violations)}\n{run.events}"
    assert len(run.events) == len(faults)
    assert run.agreed_after < AGREEMENT_SECONDS, run.summary()
