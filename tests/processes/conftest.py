from collections.abc import Iterator

import pytest

from tests.support.misbehaving_workers import MisbehavingWorkers
from tests.support.waiting import wait_until


@pytest.fixture(scope="session")
def misbehaving() -> Iterator[MisbehavingWorkers]:
    """One host for all jobs that misbehave, as its imports take seconds."""
    workers = MisbehavingWorkers()
    yield workers
    workers.end()
    wait_until(lambda: not workers.processes())
