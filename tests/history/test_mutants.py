"""The checker finds the defect of each server that breaks the promise."""

from pathlib import Path

import pytest

from tests.history.cluster import cluster
from tests.history.conftest import Store
from tests.history.run import describe, execute


@pytest.mark.parametrize(
    ("mutants", "rules"),
    [
        (("acknowledge-early",) * 3, {"stale-after-acknowledgement"}),
        (("", "", "late"), {"stale-after-acknowledgement"}),
        (("no-hold",) * 3, {"went-back"}),
    ],
    ids=["acknowledge-early", "one-replica-late", "no-hold"],
)
def test_a_server_that_breaks_the_promise_is_caught(
    store: Store, tmp_path: Path, mutants: tuple[str, ...], rules: set[str]
) -> None:
    with cluster(tmp_path, store.uri, mutants=mutants) as broken:
        run = execute(broken, store.versions, 3, pauses=(0.1,))

    violations = run.violations()
    assert rules <= {violation.rule for violation in violations}, describe(violations)
