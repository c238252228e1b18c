"""Trainings as Jobs, from the request to the version in use: the pods run in threads here."""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.common.settings import Settings
from service.pod.training_pod import TrainingPod
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from tests.support.cluster import FakeCluster, template
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, running, serve, settings_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LIMITS = JobLimits(seconds=300, memory_bytes=4 * 2**30)
TREE = {"name": "m", "dataset": "iris", "model_type": "DecisionTreeClassifier"}
SEARCH = {"space": {"max_depth": {"low": 1, "high": 30}}, "trials": 6, "parallel": 2}


class Pods:
    """A cluster whose pods do what those of a Job do, beside one registry."""

    def __init__(self, folder: Path, workers: WorkerPool) -> None:
        self.folder = folder
        self.registry = FakeRegistry(folder / "registry")
        self.workers = workers
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.cluster = FakeCluster(self.run)
        template(folder)

    def settings(self, name: str, **changes: Any) -> Settings:
        return settings_for(
            self.folder / name,
            executor="kubernetes",
            mlflow_uri="http://127.0.0.1:9",
            job_template=self.folder / "job.json",
            training_pods=4,
            **changes,
        )

    def run(self, job: Mapping[str, Any], index: int) -> None:
        """Do what `python -m service.pod` does with the arguments of a Job."""
        training, _, pods = job["spec"]["template"]["spec"]["containers"][0]["args"]
        assert self.may_begin.wait(60)
        folder = self.folder / "pods" / f"{training}-{index}"
        folder.mkdir(parents=True)
        TrainingPod(self.registry, self.workers, training, folder, LIMITS).run(index, int(pods))


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerPool]:
    """The worker processes of all pods here, whose imports take seconds."""
    pool = WorkerPool()
    yield pool
    pool.close()


@pytest.fixture
def pods(tmp_path: Path, workers: WorkerPool) -> Iterator[Pods]:
    pods = Pods(tmp_path, workers)
    yield pods
    pods.may_begin.set()
    pods.cluster.join()


@pytest.fixture
def client(pods: Pods) -> Iterator[Client]:
    with serve(pods.settings("a"), pods.registry, cluster=pods.cluster) as client:
        yield client


def test_a_training_runs_in_a_pod_and_its_version_is_put_in_use(pods: Pods, client: Client) -> None:
    reply = client.post("/train", json={**TREE, "wait": 120})

    assert reply.status_code == 201, reply.text
    assert len(pods.cluster.manifests) == 1
    trained = reply.json()
    assert (trained["state"], trained["used"]) == ("succeeded", True)
    assert trained["metrics"]["accuracy"] > 0.8
    row = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
    assert client.post("/predict", json=row).json()["predictions"] == ["setosa"]
    files = pods.registry.report(trained["id"])
    assert (files / "by_class.json").exists()
    assert [path for path in (files / "job").rglob("*") if path.is_file()] == []


def test_a_version_from_a_pod_is_compared_with_the_one_in_use(client: Client) -> None:
    assert client.post("/train", json={**TREE, "wait": 120}).status_code == 201

    better = client.post("/train", json={**TREE, "use": "if-better", "wait": 120}).json()

    assert better["comparison"]["verdict"] == "not better"
    assert better["used"] is False


LARGE = "x,label\n" + "".join(f"{math.sin(row)!r},{'ny'[row % 2]}\n" for row in range(2_000))


def test_a_pod_reads_a_large_data_set_that_no_replica_has_read(pods: Pods) -> None:
    settings = pods.settings("a", max_upload_bytes=10_000)
    with serve(settings, pods.registry, cluster=pods.cluster) as client:
        stored = client.post(
            "/datasets?name=big", content=LARGE, headers={"content-type": "text/csv"}
        )
        assert stored.status_code == 201, stored.text
        body = {**TREE, "dataset": "big", "target": "label", "use": False, "wait": 120}
        trained = client.post("/train", json=body)
        refused = client.post("/train", json={**body, "target": "x"})

    assert trained.status_code == 201, trained.text
    _, data_set, _ = pods.registry.results[trained.json()["id"]]
    assert (data_set.rows, data_set.sha256) == (2_000, stored.json()["sha256"])
    assert refused.status_code == 400
    assert "numbers that are not whole" in refused.json()["detail"]


def test_what_a_pod_finds_wrong_is_the_answer_to_the_request(client: Client) -> None:
    body = {**TREE, "model_type": "KNeighborsClassifier", "params": {"n_neighbors": 5000}}

    here = client.post("/train", json={**body, "wait": 120})

    assert here.status_code in (400, 422), here.text
    assert "n_neighbors" in here.text


def test_a_training_says_what_it_waits_for(pods: Pods, client: Client) -> None:
    pods.cluster.refusal = "exceeded quota: 4 of 4 Jobs"
    training = client.post("/train", json={**TREE, "wait": 0}).json()["id"]

    def stage() -> Any:
        reply = client.get(f"/trainings/{training}").json()
        return reply["state"], reply.get("stage")

    wait_until(lambda: stage() == ("queued", "waiting: exceeded quota: 4 of 4 Jobs"))
    pods.cluster.refusal = ""
    wait_until(lambda: stage()[0] == "succeeded", seconds=120)


def test_a_cancelled_training_has_no_job(pods: Pods, client: Client) -> None:
    pods.may_begin.clear()
    training = client.post("/train", json={**TREE, "wait": 0}).json()["id"]
    wait_until(lambda: bool(pods.cluster.manifests))

    reply = client.delete(f"/trainings/{training}")

    assert reply.json()["state"] == "cancelled"
    assert set(pods.cluster.deleted) == set(pods.cluster.manifests)


def test_a_training_outlives_the_replica_that_began_it_and_ends_once(pods: Pods) -> None:
    pods.may_begin.clear()
    with ExitStack() as stack:
        server, first = stack.enter_context(
            running(pods.settings("a"), pods.registry, cluster=pods.cluster)
        )
        training = first.post("/train", json={**TREE, "wait": 0}).json()["id"]
        wait_until(lambda: bool(pods.cluster.manifests))
        server.should_exit = True
        wait_until(lambda: pods.registry.get_training(training).beat_at == 0)
        with serve(pods.settings("b"), pods.registry, cluster=pods.cluster) as second:
            pods.may_begin.set()

            def ended() -> bool:
                return bool(second.get(f"/trainings/{training}").json()["state"] == "succeeded")

            wait_until(ended, seconds=120)

    assert [version for _, version in pods.registry.versions] == [1]
    assert len(pods.cluster.manifests) == 1


def test_a_search_is_shared_by_pods_and_makes_each_trial_once(pods: Pods) -> None:
    both = threading.Barrier(2)
    alone = pods.run

    def beside(job: Mapping[str, Any], index: int) -> None:
        other = threading.Thread(target=lambda: (both.wait(30), alone(job, 1)), daemon=True)
        other.start()
        both.wait(30)
        alone(job, index)
        other.join()

    pods.run = beside  # type: ignore[method-assign]
    pods.cluster = FakeCluster(pods.run)
    with serve(pods.settings("b"), pods.registry, cluster=pods.cluster) as service:
        reply = service.post("/train", json={**TREE, "search": SEARCH, "wait": 120})

    assert reply.status_code == 201, reply.text
    search = reply.json()["search"]
    assert (search["trials"], search["running"]) == (6, 0)
    trials = [trial for _, trial in pods.registry.trials.values()]
    assert sorted(trial.number for trial in trials) == [1, 2, 3, 4, 5, 6]
