"""Faults outside of requests: worker processes, the queue, heartbeats and races."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from service.common.domain import DataSet, Training
from service.common.errors import QueueFull, VersionInUse, WorkersUnavailable
from service.common.metrics import Metrics
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.rollout.coordinator import Coordinator
from service.rollout.last_served import LastServed
from service.rollout.local_replica import LocalReplica
from service.rollout.peers import NoPeers
from service.rollout.poller import Poller
from service.schema.decoder import Limits
from service.serving.current_model import CurrentModel
from service.serving.loader import Loader
from service.training.executor import ProcessExecutor
from service.training.heartbeats import Heartbeats
from service.training.queue import TrainingQueue
from service.training.run import TrainingRun
from service.training.services import Limits as TrainingLimits
from service.training.services import TrainingServices
from service.training.spec import TrainingSpec
from tests.support.fakes import FakeRegistry, make_version
from tests.support.server import ENDLESS, Client, serve, settings_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LIMITS = JobLimits(seconds=60, memory_bytes=2**32)


@pytest.fixture
def workers() -> Iterator[WorkerPool]:
    workers = WorkerPool()
    yield workers
    workers.close()


def _local(registry: FakeRegistry, workers: WorkerPool, folder: Path) -> LocalReplica:
    loader = Loader(registry, workers, folder / "cache", Limits(), False)
    return LocalReplica(
        "me", registry, loader, CurrentModel(), Metrics(), LastServed(folder / "last.json")
    )


def _order(folder: Path) -> TrainingSpec:
    return TrainingSpec("m", "SVC", DataSet("d", "0", 1, (), None, 0.0), True, folder)


# The worker process


def _host_of(client: Client) -> int:
    """Return the id of the worker process of the service that runs in this process."""
    client.get("/model-types")
    hosts = [
        int(child)
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
        if b"service.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return max(hosts)


def test_a_host_that_is_killed_costs_its_jobs_a_503_and_the_next_job_works(tmp_path: Path) -> None:
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as client:
        training = client.post("/train", json=ENDLESS).json()["id"]
        wait_until(lambda: client.get(f"/trainings/{training}").json()["state"] == "running")
        wait_until(lambda: client.get(f"/trainings/{training}").json().get("stage") == "fit")

        os.kill(_host_of(client), signal.SIGKILL)

        failed = client.wait_for_training(training)
        assert failed["state"] == "failed"
        assert "send it again" in failed["error"]
        assert client.train(dataset="iris", model_type="GaussianNB")["state"] == "succeeded"


def test_a_job_of_a_lost_host_raises_a_retryable_error(workers: WorkerPool, tmp_path: Path) -> None:
    workers.warm()
    job = workers.start("model_types", tmp_path, {}, LIMITS)
    os.kill(job.host, signal.SIGKILL)

    with contextlib.suppress(WorkersUnavailable):  # unless it ended before its host
        job.wait(30)

    wait_until(lambda: not Path(f"/proc/{job.host}/task").exists() or _is_zombie(job.host))
    again = workers.start("model_types", tmp_path, {}, LIMITS)
    assert again.host != job.host
    assert again.wait(60)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# The queue and the keys


def test_a_training_that_waits_is_cancelled_at_once(tmp_path: Path) -> None:
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as client:
        first, second = (client.post("/train", json=ENDLESS).json()["id"] for _ in range(2))

        response = client.delete(f"/trainings/{second}", timeout=5)

        assert response.json()["state"] == "cancelled"
        assert client.get(f"/trainings/{first}").json()["state"] in ("queued", "running")
        assert client.delete(f"/trainings/{first}").json()["state"] == "cancelled"


def test_a_key_of_a_training_that_failed_by_the_services_fault_is_tried_again(
    client: Client, registry: FakeRegistry
) -> None:
    headers = {"idempotency-key": "lost"}
    body = {"dataset": "iris", "model_type": "GaussianNB", "name": "lost"}
    first = client.post("/train", json=body, headers=headers).json()["id"]
    registry.trainings[first] = replace(
        registry.trainings[first], state="failed", fault="service", error="It was lost."
    )

    again = client.post("/train", json=body, headers=headers)

    assert again.status_code == 201
    assert again.json()["id"] != first


@pytest.mark.parametrize(("fault", "status"), [("request", 400), ("conflict", 409), (None, 400)])
def test_a_key_of_a_training_that_failed_gives_the_first_answers_code(
    client: Client, registry: FakeRegistry, fault: str | None, status: int
) -> None:
    headers = {"idempotency-key": f"failed-{fault}"}
    body = {"dataset": "iris", "model_type": "GaussianNB", "name": "failed"}
    first = client.post("/train", json=body, headers=headers).json()["id"]
    registry.trainings[first] = replace(
        registry.trainings[first],
        state="failed",
        error="It failed.",
        fault=fault,  # type: ignore[arg-type]
    )

    assert client.post("/train", json=body, headers=headers).status_code == status


def test_a_key_that_another_replica_got_while_the_rows_were_read_finds_its_training(
    tmp_path: Path,
) -> None:
    class Hides(FakeRegistry):
        """Hides a training from the next `hidden` searches, as if it was recorded later."""

        hidden = 0

        def training_of_key(self, key: str) -> tuple[Training, str] | None:
            if self.hidden:
                self.hidden -= 1
                return None
            return super().training_of_key(key)

    registry = Hides(tmp_path)
    headers = {"idempotency-key": "k"}
    body = {"dataset": "iris", "model_type": "GaussianNB"}
    with serve(settings_for(tmp_path / "data"), registry) as client:
        first = client.post("/train", json=body, headers=headers)
        registry.hidden = 1
        again = client.post("/train", json=body, headers=headers)

        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json()["id"] == first.json()["id"]
        assert not list((tmp_path / "data" / "work" / "uploads").iterdir())
    assert len(registry.trainings) == 1


def test_a_repeated_key_waits_as_long_as_its_request_says(tmp_path: Path) -> None:
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as client:
        headers = {"idempotency-key": "k"}
        first = client.post("/train", json=ENDLESS, headers=headers)

        again = client.post("/train", json=ENDLESS, headers=headers, timeout=5)

        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json()["id"] == first.json()["id"]
        client.delete(f"/trainings/{first.json()['id']}")


def test_params_that_a_type_does_not_take_are_refused_also_for_the_type_in_use(
    client: Client,
) -> None:
    client.train(dataset="iris", model_type="KNeighborsClassifier", name="near")

    response = client.post("/train", json={"dataset": "iris", "class_weight": "balanced"})

    assert response.status_code == 400
    assert response.json()["errors"][0]["pointer"] == "/class_weight"


def test_a_training_that_is_opened_while_the_service_stops_is_closed(
    workers: WorkerPool, tmp_path: Path
) -> None:
    class Slow(FakeRegistry):
        def open_training(self, training: Training, details: Mapping[str, str]) -> Training:
            training_queue.stop()
            return super().open_training(training, details)

    registry = Slow(tmp_path)
    metrics = Metrics()
    replicas = Coordinator(_local(registry, workers, tmp_path), NoPeers(), registry, metrics)
    limits = TrainingLimits(at_once=1, queued=1, each=LIMITS)
    training_queue = TrainingQueue(
        "me",
        TrainingServices(
            registry, workers, replicas, CurrentModel(), limits, ProcessExecutor(workers)
        ),
        metrics,
    )
    training_queue.start()

    training = training_queue.submit(_order(tmp_path / "order"), {})

    assert registry.get_training(training.id).state == "failed"
    assert registry.get_training(training.id).fault == "service"
    with pytest.raises(QueueFull):
        training_queue.check_room()


# Heartbeats and polls


def test_a_late_heartbeat_does_not_reopen_a_training(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    opened = registry.open_training(Training("", "running", 0.0), {})
    order = _order(tmp_path / "none")
    run = TrainingRun(opened, order)
    beats = Heartbeats("me", registry, Metrics(), lambda: [run])

    registry.close_training(replace(opened, state="succeeded", version=3))
    beats.beat()

    assert registry.get_training(opened.id).state == "succeeded"


def test_orphans_are_closed_only_if_they_do_not_run_here(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    mine = registry.open_training(Training("", "running", 0.0), {})
    other = registry.open_training(Training("", "running", 0.0), {})
    order = _order(tmp_path / "none")
    beats = Heartbeats("me", registry, Metrics(), lambda: [TrainingRun(mine, order)])

    beats.close_orphans(60)

    assert registry.get_training(mine.id).state == "running"
    assert registry.get_training(other.id).state == "failed"
    assert registry.get_training(other.id).fault == "service"


def test_a_training_that_is_being_opened_here_is_no_orphan(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    now = time.time()
    opening = registry.open_training(Training("", "queued", 0.0, owner="me", beat_at=now), {})
    other = registry.open_training(Training("", "queued", 0.0, owner="gone", beat_at=now), {})
    lost = registry.open_training(Training("", "queued", 0.0, owner="me", beat_at=now - 61), {})
    beats = Heartbeats("me", registry, Metrics(), list)

    beats.close_orphans(0)

    states = [registry.get_training(one.id).state for one in (opening, other, lost)]
    assert states == ["queued", "failed", "failed"]


def test_the_end_of_a_training_is_recorded_when_mlflow_is_back(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    opened = registry.open_training(Training("", "running", 0.0), {})
    beats = Heartbeats("me", registry, Metrics(), list)

    registry.down = True
    beats.close(replace(opened, state="succeeded"))
    registry.down = False
    beats.close_late()

    assert registry.get_training(opened.id).state == "succeeded"


def test_a_poll_that_meets_a_defect_is_not_the_last(
    workers: WorkerPool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeRegistry):
        def newest_use(self) -> None:
            raise ZeroDivisionError

    registry = Broken(tmp_path)
    local = _local(registry, workers, tmp_path)
    poller = Poller(local, Coordinator(local, NoPeers(), registry, Metrics()), 1.0, Metrics())

    with caplog.at_level(logging.CRITICAL, "service.rollout.poller"):
        poller.poll()

    assert not poller.reached


def test_a_version_that_is_put_in_use_meanwhile_is_not_deleted(
    workers: WorkerPool, tmp_path: Path
) -> None:
    registry = FakeRegistry(tmp_path)
    version = make_version(name="m")
    registry.versions["m", 1] = version
    replicas = Coordinator(_local(registry, workers, tmp_path), NoPeers(), registry, Metrics())
    registry.commit_use(version, "a test")

    with pytest.raises(VersionInUse):
        replicas.delete("m", 1)

    assert ("m", 1) in registry.versions
