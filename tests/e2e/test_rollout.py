"""API pods are replaced or deleted while clients send predictions."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Note
from tests.e2e.load import Load

RATE = 20
SECONDS = 60


@pytest.mark.usefixtures("iris")
def test_a_rolling_restart_fails_no_request(
    release: Cluster, load: Load, example: Mapping[str, Any], note: Note
) -> None:
    """Every API pod is replaced under load, and nothing is sent twice."""
    before = {pod.uid for pod in release.pods("api")}
    with load.start(RATE, SECONDS, example) as sending:
        release.restart("api")
        release.wait_rolled_out("api")
        result = sending.result()
    note(str(result))
    assert not before & {pod.uid for pod in release.pods("api")}
    assert result.failed == 0, result.failures
    assert result.sent == RATE * SECONDS


@pytest.mark.usefixtures("iris")
def test_a_pod_that_vanishes_fails_few_requests(
    release: Cluster, load: Load, example: Mapping[str, Any], note: Note
) -> None:
    """One of the pods is deleted without grace, as if its node had failed."""
    victim = release.ready_pods("api")[0]
    with load.start(RATE, SECONDS, example) as sending:
        release.delete_pod(victim.name, at_once=True)
        result = sending.result()
    note(f"{result}; {result.good:.2%} good")
    release.wait_rolled_out("api")
    assert victim.uid not in {pod.uid for pod in release.pods("api")}
    assert result.good >= 0.985, result.failures
