"""What a user is told of a training as a Job that waits, or that does not end as it should."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Note
from tests.e2e.forward import open_api
from tests.e2e.jobs import Body, Trainings, network
from tests.e2e.test_trainings import noise
from tests.e2e.waiting import wait_until

DEADLINE = 180
MEMORY = "512Mi"
STORAGE_MIB = 64
QUOTA = "e2e-no-more-pods"
QUICK = {"name": "quick", "dataset": "iris", "model_type": "GaussianNB", "use": False}
ROUNDS = 10_000
"""More than fit before the deadline."""


@pytest.fixture(scope="module")
def narrow(with_jobs: Cluster) -> Cluster:
    """Give trainings little time, memory and storage."""
    storage = STORAGE_MIB * 2**20
    with_jobs.upgrade(
        f"training.deadlineSeconds={DEADLINE},training.resources.limits.memory={MEMORY},"
        f"training.resources.limits.ephemeral-storage={STORAGE_MIB}Mi,"
        f"api.settings.trainingDiskBytes={storage}"
    )
    with_jobs.wait_rolled_out("api")
    return with_jobs


@pytest.fixture(scope="module")
def late(narrow: Cluster) -> str:
    """Begin the training whose time will be over when the other tests are done."""
    with open_api(narrow) as client:
        return Trainings(narrow, client).begin(network("late", ROUNDS))


@pytest.fixture
def trainings(narrow: Cluster, late: str, api: httpx.Client) -> Trainings:  # noqa: ARG001
    return Trainings(narrow, api)


def test_a_training_that_takes_more_memory_than_its_pod_has_says_so(trainings: Trainings) -> None:
    """Whether the service sees it first, or the kernel."""
    body = {
        "name": "noise",
        "target": "label",
        "model_type": "ExtraTreesClassifier",
        "params": {"n_estimators": 2000},
        "use": False,
    }
    training = trainings.begin(body, files={"file": ("noise.csv", noise())})
    ended = trainings.wait_for_end(training, 90)

    assert ended["state"] == "failed"
    assert ended["error"] == "It took more memory than the limit of 512 MiB."


def test_a_training_that_is_cancelled_is_gone_within_seconds(trainings: Trainings) -> None:
    training = trainings.begin(network("cancelled", ROUNDS))
    trainings.running_pod(training)
    trainings.wait_for(training, "running", 60)
    cancelled = trainings.cancel(training)

    assert cancelled["state"] == "cancelled"
    assert cancelled["error"] == "It was cancelled."
    wait_until("no Job", lambda: not trainings.jobs(training), 5)
    wait_until("no pod", lambda: not trainings.pods(training), 10)


def test_a_training_whose_job_is_deleted_by_hand_says_so(trainings: Trainings) -> None:
    training = trainings.begin(network("deleted", ROUNDS))
    trainings.running_pod(training)
    trainings.wait_for(training, "running", 60)
    job = trainings.jobs(training)[0]["metadata"]["name"]
    trainings.release.kubectl("delete", "job", job)
    ended = trainings.wait_for_end(training, 30)

    assert ended["state"] == "failed"
    assert ended["error"] == "Its Job was deleted in Kubernetes."
    assert trainings.jobs(training) == []


def test_a_training_waits_for_a_quota_and_runs_once_there_is_room(
    trainings: Trainings, note: Note
) -> None:
    release = trainings.release
    release.kubectl("create", "quota", QUOTA, "--hard=pods=0")
    try:
        training = trainings.begin(QUICK)
        waits = trainings.wait_for(training, "queued", 30, stage=f"exceeded quota: {QUOTA}")
        note(waits["stage"])
    finally:
        release.kubectl("delete", "quota", QUOTA)
    ended = trainings.wait_for_end(training, 90)
    note(f"it ran within {ended['seconds']['total']:.0f} s")

    assert ended["state"] == "succeeded", ended


def test_a_training_whose_pods_are_evicted_says_why(trainings: Trainings, note: Note) -> None:
    """Each of its two pods is filled with more than it may store."""
    training = trainings.begin(network("evicted", ROUNDS))
    fill = f"dd if=/dev/zero of=/tmp/fill bs=1M count={STORAGE_MIB * 2}"
    first = trainings.running_pod(training)
    trainings.release.exec(first, "sh", "-c", fill)
    second = trainings.running_pod(training, besides=first)
    trainings.release.exec(second, "sh", "-c", fill)
    ended = trainings.wait_for_end(training, 120)
    note(ended["error"])

    assert ended["state"] == "failed"
    said = (
        f'Its pod was evicted: Usage of EmptyDir volume "tmp" exceeds the limit "{STORAGE_MIB}Mi"'
    )
    assert ended["error"].startswith(said)


@pytest.fixture(scope="module")
def template(narrow: Cluster) -> Iterator[Callable[[Callable[[Body], None]], None]]:
    """Return a function that has the API make Jobs of a changed template, until the end."""
    name = narrow.name("training")
    original = narrow.get("configmap", name)["data"]["job.json"]

    def put(text: str) -> None:
        data = {"data": {"job.json": text}}
        narrow.kubectl("patch", "configmap", name, "--patch", json.dumps(data))
        narrow.restart("api")

    def change(spec: Callable[[Body], None]) -> None:
        job = json.loads(original)
        spec(job["spec"]["template"]["spec"])
        put(json.dumps(job))
        narrow.wait_rolled_out("api")

    yield change
    put(original)


def _nowhere(spec: dict[str, Any]) -> None:
    spec["nodeSelector"] = {"e2e": "nowhere"}


def _no_image(spec: dict[str, Any]) -> None:
    spec["containers"][0]["image"] = "127.0.0.1:1/e2e/missing:1"


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        (_nowhere, "didn't match Pod's node affinity/selector"),
        (_no_image, "ImagePull"),
    ],
    ids=["node", "image"],
)
def test_a_training_that_no_node_can_run_says_what_kubernetes_says(
    narrow: Cluster,
    template: Callable[[Callable[[Body], None]], None],
    note: Note,
    change: Callable[[Body], None],
    stage: str,
) -> None:
    template(change)
    with open_api(narrow) as client:
        trainings = Trainings(narrow, client)
        training = trainings.begin(QUICK)
        waits = trainings.wait_for(training, "queued", 60, stage=stage)
        note(waits["stage"])
        cancelled = trainings.cancel(training)
        wait_until("no Job", lambda: not trainings.jobs(training), 5)

    assert waits["stage"].startswith("waiting: ")
    assert cancelled["state"] == "cancelled"


def test_a_training_past_its_deadline_says_so(trainings: Trainings, late: str) -> None:
    ended = trainings.wait_for_end(late, DEADLINE + 30)

    assert ended["state"] == "failed"
    assert ended["error"] == f"It took longer than the limit of {DEADLINE} s."
    wait_until(
        "no pod that runs",
        lambda: all(pod["status"]["phase"] != "Running" for pod in trainings.pods(late)),
        40,
    )
