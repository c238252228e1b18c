"""Trainings that outlive their replica: left at once, taken up by one other, never twice."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.common.domain import DataSet, NewVersion, Training, Version
from service.common.errors import (
    ChangeUnderWay,
    RegistryUnavailable,
    ReplicaSilent,
    StorageUnavailable,
)
from service.common.metrics import Metrics
from service.common.search import SearchState
from service.processes import job_files as files
from service.processes.limits import JobLimits
from service.processes.messages import Done, to_json
from service.processes.pool import WorkerPool
from service.rollout.coordinator import Coordinator
from service.serving.current_model import CurrentModel
from service.training import handover
from service.training.heartbeats import GONE, ORPHAN_SECONDS
from service.training.pod_executor import PodExecutor
from service.training.pod_job import Pods
from service.training.queue import TrainingQueue
from service.training.services import Limits, TrainingServices
from service.training.spec import TrainingSpec
from tests.support.cluster import FakeCluster, template
from tests.support.fakes import FakeRegistry
from tests.support.replicas import FakePeers, FakeReplica
from tests.support.waiting import wait_until

RESULT = {
    "model_type": "SVC",
    "seconds": {},
    "metrics": {},
    "notes": ["It was made by a test."],
    "params": {},
    "chosen": {},
    "sha256": {},
    "features": [],
}
DATA_SET = DataSet("d", "0", 1, (), None, 0.0)


class Scene:
    """A queue in replica `a`, whose threads are not started, beside replica `b`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = FakeRegistry(folder / "registry")
        self.cluster = FakeCluster()
        self.b = FakeReplica("b", [], self.registry)
        local = FakeReplica("a", [], self.registry)
        self.replicas = Coordinator(local, FakePeers([self.b]), self.registry, Metrics())  # type: ignore[arg-type]
        limits = Limits(at_once=1, queued=2, each=JobLimits(seconds=60, memory_bytes=2**32))
        self.executor = PodExecutor(
            Pods(self.cluster, template(folder), 4), self.registry, folder / "work"
        )
        services = TrainingServices(
            *(self.registry, WorkerPool(), self.replicas, CurrentModel(), limits), self.executor
        )
        self.queue = TrainingQueue("a", services, Metrics())
        self.started = False

    def spec(self) -> TrainingSpec:
        folder = self.folder / "spec"
        folder.mkdir(exist_ok=True)
        return TrainingSpec("m", "SVC", DATA_SET, True, folder, request="{}")

    def open(
        self, *, age: float = 1000.0, given: bool = True, search: SearchState | None = None
    ) -> Training:
        """Record a training of replica `b`, which has been silent for that long."""
        began = time.time() - age
        opened = Training("", "running", began, "m", owner="b", beat_at=began, search=search)
        training = replace(self.registry.open_training(opened, {}), created_at=began)
        self.registry.update_training(training)
        if given:
            self.executor.prepare(training, self.spec())
        return training

    def record(self, training: Training) -> Training:
        return self.registry.get_training(training.id)

    def end(self, training: Training) -> Version:
        """Have the job of a training end, and its version be registered."""
        made = self.folder / "made"
        for name in (files.VERSION, files.REPORT):
            (made / name).mkdir(parents=True)
            (made / name / "file").write_bytes(b"made")
        outcome = Done(to_json(RESULT))
        handover.give_outcome(self.registry, training.id, made, outcome)
        return self.registry.add_version(
            NewVersion("m", "SVC", training.id, made / files.VERSION, {}, {}, {}, [])
        )

    def take_up(self, training: Training) -> Training:
        """Take a training up here, and return it as it has ended."""
        self.queue.take_up(training)
        run = self.queue.run(training.id)
        assert run is not None
        if not self.started:
            self.started = True
            self.queue.start()
        return run.ended.result(timeout=60)

    def here(self) -> set[str]:
        return {identifier for identifier in self.registry.trainings if self.queue.run(identifier)}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.replicas.close()


def test_a_training_whose_owner_is_silent_is_taken_up(scene: Scene) -> None:
    training = scene.open()

    scene.queue.heartbeats.close_orphans(ORPHAN_SECONDS)

    assert scene.here() == {training.id}
    assert scene.record(training).owner == "a"
    assert time.time() - scene.record(training).beat_at < 60


def test_a_training_whose_owner_is_not_silent_is_left_to_it(scene: Scene) -> None:
    training = scene.open(age=1.0)

    scene.queue.heartbeats.close_orphans(ORPHAN_SECONDS)

    assert (scene.here(), scene.record(training).owner) == (set(), "b")


def test_a_training_that_its_owner_left_is_taken_up_at_once(scene: Scene) -> None:
    training = scene.open(age=1.0)
    scene.registry.beat(training.id, 0.0)

    scene.queue.heartbeats.close_orphans(ORPHAN_SECONDS)

    assert scene.here() == {training.id}


def test_a_training_that_another_replica_has_taken_meanwhile_is_left_to_it(scene: Scene) -> None:
    training = scene.open()
    scene.registry.update_training(replace(training, owner="c", beat_at=time.time()))

    scene.queue.take_up(training)

    assert (scene.here(), scene.record(training).owner) == (set(), "c")


def test_a_training_that_has_ended_meanwhile_is_not_taken_up(scene: Scene) -> None:
    training = scene.open()
    scene.registry.close_training(training.closed("cancelled", "It was cancelled."))

    scene.queue.take_up(training)

    assert scene.here() == set()
    assert scene.record(training).state == "cancelled"


@pytest.mark.parametrize("error", [ReplicaSilent("b"), ChangeUnderWay()])
def test_a_training_is_taken_up_later_where_another_replica_may_be_doing_so(
    scene: Scene, error: Exception
) -> None:
    training = scene.open()
    scene.b.fails["grant"] = error
    scene.queue.heartbeats.close_orphans(ORPHAN_SECONDS)
    assert (scene.here(), scene.record(training).owner) == (set(), "b")

    scene.b.fails.clear()
    scene.queue.heartbeats.close_orphans(ORPHAN_SECONDS)

    assert scene.here() == {training.id}


def test_a_training_whose_files_cannot_be_fetched_is_left_for_another_attempt(
    scene: Scene,
) -> None:
    training = scene.open()
    scene.registry.storage_down = True
    scene.queue.heartbeats.close_orphans(ORPHAN_SECONDS)
    assert (scene.here(), scene.record(training).beat_at) == (set(), 0.0)

    scene.registry.storage_down = False
    scene.queue.heartbeats.close_orphans(ORPHAN_SECONDS)

    assert scene.here() == {training.id}


def test_a_training_of_which_nothing_was_kept_is_closed_as_lost(scene: Scene) -> None:
    training = scene.open(given=False)

    scene.queue.heartbeats.close_orphans(ORPHAN_SECONDS)

    closed = scene.record(training)
    assert (closed.state, closed.error, closed.fault) == ("failed", GONE, "service")
    assert scene.here() == set()


def test_a_replica_that_stops_leaves_its_trainings_to_others(scene: Scene) -> None:
    scene.queue.start()
    training = scene.queue.submit(scene.spec(), {})
    run = scene.queue.run(training.id)
    assert run is not None

    scene.queue.stop()

    left = scene.record(training)
    assert (left.state, left.beat_at) == ("queued", 0.0)
    assert run.ended.result(timeout=0).state == "queued"
    assert scene.cluster.deleted == []


def test_what_came_too_late_to_a_replica_that_stops_is_left_to_others(scene: Scene) -> None:
    scene.queue.start()
    prepare = scene.executor.prepare

    def stopped_meanwhile(training: Training, spec: TrainingSpec) -> None:
        prepare(training, spec)
        scene.queue.stop()

    scene.executor.prepare = stopped_meanwhile  # type: ignore[method-assign]

    training = scene.queue.submit(scene.spec(), {})

    assert scene.record(training).beat_at == 0.0
    assert scene.queue.run(training.id) is None


def test_a_training_that_cannot_be_kept_is_refused_and_recorded_as_failed(scene: Scene) -> None:
    scene.registry.storage_down = True

    with pytest.raises((RegistryUnavailable, StorageUnavailable)):
        scene.queue.submit(scene.spec(), {})

    (recorded,) = scene.registry.trainings.values()
    assert (recorded.state, recorded.fault) == ("failed", "service")
    assert scene.here() == set()


def test_a_left_training_that_is_cancelled_has_no_job(scene: Scene) -> None:
    training = scene.open(age=0.0)
    scene.registry.beat(training.id, 0.0)

    cancelled = scene.queue.cancel(training.id)

    assert cancelled.state == "cancelled"
    assert scene.cluster.deleted == [template(scene.folder).name_of(training.id)]


def test_a_specification_is_the_same_in_another_process(scene: Scene) -> None:
    spec = scene.spec()

    assert TrainingSpec.from_json(spec.to_json(), spec.folder) == spec


def test_a_version_that_was_registered_before_its_replica_died_is_not_registered_again(
    scene: Scene,
) -> None:
    training = scene.open()
    registered = scene.end(training)

    ended = scene.take_up(training)

    assert ended.version == registered.version
    assert list(scene.registry.versions) == [("m", 1)]


def test_an_mlflow_that_is_silent_for_a_moment_ends_no_training_that_waits(scene: Scene) -> None:
    update = scene.registry.update_training
    refused: list[Training] = []

    def refuse_once(training: Training) -> None:
        if training.stage == "waiting for a pod" and not refused:
            refused.append(training)
            raise RegistryUnavailable("it was switched off by a test.")
        update(training)

    scene.registry.update_training = refuse_once  # type: ignore[method-assign]
    scene.queue.start()
    training = scene.queue.submit(scene.spec(), {})

    wait_until(lambda: scene.record(training).stage == "waiting for a pod")

    assert (len(refused), scene.record(training).state) == (1, "queued")
    scene.queue.stop()


def test_an_mlflow_that_is_away_at_the_end_of_a_job_costs_no_training(scene: Scene) -> None:
    training = scene.open(age=100.0)
    scene.end(training)
    record, away = scene.registry.record_result, [True]

    def refuse_at_first(*arguments: Any, **named: Any) -> None:
        if away:
            away.pop()
            raise RegistryUnavailable("it was switched off by a test.")
        record(*arguments, **named)

    scene.registry.record_result = refuse_at_first  # type: ignore[method-assign]

    left = scene.take_up(training)
    assert (left.state, scene.record(training).beat_at) == ("running", 0.0)
    ended = scene.take_up(scene.record(training))

    assert (ended.state, ended.error) == ("succeeded", None)
    assert [note.message for note in ended.notes] == RESULT["notes"]
    assert list(scene.registry.versions) == [("m", 1)]


def test_a_training_that_mlflow_never_takes_fails_after_its_deadline(scene: Scene) -> None:
    training = scene.open(age=300.0 + 600.0)  # The deadline of the template, and ten minutes.
    scene.end(training)

    def refuse(*_: Any, **__: Any) -> None:
        raise RegistryUnavailable("it was switched off by a test.")

    scene.registry.record_result = refuse  # type: ignore[method-assign]

    ended = scene.take_up(training)

    assert (ended.state, ended.fault) == ("failed", "service")
    assert ended.error == "MLflow is unavailable: it was switched off by a test."


def test_the_time_of_a_training_is_counted_from_its_begin_whoever_ends_it(scene: Scene) -> None:
    training = scene.open(age=1000.0)
    scene.end(training)

    ended = scene.take_up(training)

    assert 1000.0 <= ended.seconds["total"] < 1060.0


def test_no_trial_of_a_search_runs_after_the_end_of_its_training(scene: Scene) -> None:
    training = scene.open(search=SearchState("accuracy", trials=3, running=2, seconds_left=9.0))

    ended = scene.take_up(training)

    assert ended.error == "Its Job was deleted in Kubernetes."
    assert ended.search == SearchState("accuracy", trials=3, pruned=2, seconds_left=0.0)
