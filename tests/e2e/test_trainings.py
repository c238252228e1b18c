"""A training that exceeds its limits affects nothing else."""

import random
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Note
from tests.e2e.load import Load

TREES = 2000
ROWS = 40_000
CLASSES = 20


def noise() -> str:
    """Return rows of pure noise, so that each tree grows a leaf for each row."""
    chance = random.Random(0)
    rows = (
        f"{chance.random():.6f},{chance.random():.6f},k{chance.randrange(CLASSES)}\n"
        for _ in range(ROWS)
    )
    return "a,b,label\n" + "".join(rows)


@pytest.mark.usefixtures("iris")
def test_a_training_that_eats_memory_ends_alone(
    api: httpx.Client, release: Cluster, load: Load, example: Mapping[str, Any], note: Note
) -> None:
    """Two thousand trees of 20 MB each: its process ends with a reason, and its pod stays."""
    before = {(pod.uid, pod.restarts, pod.ready_since) for pod in release.pods("api")}
    order = {
        "name": "noise",
        "target": "label",
        "model_type": "ExtraTreesClassifier",
        "params": f'{{"n_estimators": {TREES}}}',
        "wait": "100",
    }
    with load.start(20, 30, example) as sending:
        file = {"file": ("noise.csv", noise())}
        response = api.post("/train", files=file, data=order, timeout=120)
        result = sending.result()
    note(f"ended after {response.elapsed.total_seconds():.1f} s; beside it {result}")
    assert response.status_code == 400, response.text
    assert "memory" in response.json()["detail"]
    newest = api.get("/trainings").json()["trainings"][0]
    assert (newest["name"], newest["state"]) == ("noise", "failed")
    assert "memory" in newest["error"]
    assert result.failed == 0, result.failures
    assert {(pod.uid, pod.restarts, pod.ready_since) for pod in release.pods("api")} == before
