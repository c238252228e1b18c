"""What was deleted is removed from the release's MLflow for good, by the chart's CronJob."""

import json
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.cluster import Cluster, run
from tests.e2e.waiting import wait_until

ROWS = "x,label\n" + "1,a\n2,b\n" * 20


@pytest.fixture
def collected(release: Cluster) -> Iterator[Cluster]:
    """Switch the CronJob on, for what was deleted a second ago; off again afterwards."""
    release.upgrade("mlflow.gc.enabled=true,mlflow.gc.olderThan=1s")
    yield release
    release.upgrade("mlflow.gc.enabled=false,mlflow.gc.olderThan=30d")


def test_the_job_removes_what_was_deleted(collected: Cluster, api: httpx.Client) -> None:
    name = f"gone-{uuid.uuid4().hex[:8]}"
    stored = api.post(f"/datasets?name={name}&target=label", content=ROWS,
                      headers={"content-type": "text/csv"})  # fmt: skip
    assert stored.status_code in (200, 201), stored.text
    assert api.delete(f"/datasets/{name}").is_success
    job = f"{name}-gc"

    kubectl = ("kubectl", "--namespace", collected.namespace)
    run(*kubectl, "create", "job", job, f"--from=cronjob/{collected.name('gc')}")
    try:
        wait_until("the end of the job", lambda: _ended(kubectl, job), 240)
        told = run(*kubectl, "logs", f"job/{job}")
    finally:
        run(*kubectl, "delete", "job", job, "--wait=false")

    assert "has been permanently deleted" in told


def _ended(kubectl: tuple[str, ...], job: str) -> bool:
    status = json.loads(run(*kubectl, "get", "job", job, "--output=json"))["status"]
    assert not status.get("failed"), status
    return bool(status.get("succeeded"))
