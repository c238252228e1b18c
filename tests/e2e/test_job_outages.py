"""A part of the release is away when a training in a Job is done: it ends once that is back."""

import httpx
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Note
from tests.e2e.jobs import Body, Trainings, timed
from tests.e2e.load import Load
from tests.e2e.waiting import repeat

RATE = 20
SEARCH_SECONDS = 15
AWAY_SECONDS = 30


@pytest.mark.usefixtures("iris")
@pytest.mark.parametrize("part", ["mlflow", "postgres", "minio"])
def test_a_training_that_is_done_ends_once_there_is_again(
    part: str, with_jobs: Cluster, api: httpx.Client, load: Load, example: Body, note: Note
) -> None:
    """The pod cannot hand over what it has made until then, and no prediction fails."""
    trainings, name = Trainings(with_jobs, api), f"without-{part}"
    before = trainings.versions(name)
    with load.start(RATE, 75, example) as sending:
        training = trainings.begin(timed(name, SEARCH_SECONDS))
        trainings.wait_for(training, "running", 60, stage="search")
        with with_jobs.without(part):
            repeat(lambda: _goes_on(trainings, training), AWAY_SECONDS, pause=1)
        ended = trainings.wait_for_end(training, 180)
        result = sending.result()
    note(f"{ended['seconds']['total']:.1f} s; beside it {result}")

    assert ended["state"] == "succeeded", ended
    assert len(trainings.versions(name)) == len(before) + 1
    assert result.failed == 0, result.failures


def _goes_on(trainings: Trainings, training: str) -> None:
    """Check that no replica tells of an end; while MLflow is away, one may not answer."""
    body = trainings.read(training)
    assert body is None or body["state"] == "running", body
