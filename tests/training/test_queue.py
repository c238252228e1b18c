"""A training of another replica is cancelled by its owner, or closed without heartbeats."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.common.domain import Training
from service.common.errors import ReplicaSilent, TrainingEnded
from service.common.metrics import Metrics
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.rollout.coordinator import Coordinator
from service.serving.current_model import CurrentModel
from service.training.executor import ProcessExecutor
from service.training.heartbeats import ORPHAN_SECONDS
from service.training.queue import TrainingQueue
from service.training.services import Limits, TrainingServices
from tests.support.fakes import FakeRegistry
from tests.support.replicas import FakePeers, FakeReplica


class Scene:
    """A queue in replica `a`, and a training that replica `b` has opened."""

    def __init__(self, folder: Path) -> None:
        self.registry = FakeRegistry(folder)
        self.b = FakeReplica("b", [], self.registry)
        local = FakeReplica("a", [], self.registry)
        self.replicas = Coordinator(local, FakePeers([self.b]), self.registry, Metrics())  # type: ignore[arg-type]
        limits = Limits(at_once=1, queued=1, each=JobLimits(seconds=60, memory_bytes=2**32))
        services = TrainingServices(
            *(self.registry, WorkerPool(), self.replicas, CurrentModel(), limits),
            ProcessExecutor(WorkerPool()),
        )
        self.queue = TrainingQueue("a", services, Metrics())

    def open(self, owner: str = "b", age: float = 0.0) -> str:
        beat_at = time.time() - age
        training = Training("", "running", 0.0, owner=owner, beat_at=beat_at)
        return self.registry.open_training(training, {}).id

    def state(self, training: str) -> str:
        return self.registry.get_training(training).state


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.replicas.close()


@pytest.mark.parametrize("owner", ["b", "one that is not listed"])
def test_a_training_whose_owner_sends_heartbeats_but_no_answer_is_not_called_cancelled(
    scene: Scene, owner: str
) -> None:
    scene.b.fails["cancel"] = ReplicaSilent("b")
    training = scene.open(owner)

    with pytest.raises(ReplicaSilent):
        scene.queue.cancel(training)

    assert scene.state(training) == "running"


def test_a_training_whose_owner_sends_no_heartbeats_is_closed(scene: Scene) -> None:
    scene.b.fails["cancel"] = ReplicaSilent("b")
    training = scene.open(age=ORPHAN_SECONDS + 1)

    assert scene.queue.cancel(training).state == "cancelled"
    assert scene.state(training) == "cancelled"


@pytest.mark.parametrize("owner", ["a", "b"])
def test_a_training_that_its_owner_does_not_know_is_closed(scene: Scene, owner: str) -> None:
    training = scene.open(owner)

    assert scene.queue.cancel(training).state == "cancelled"
    assert scene.state(training) == "cancelled"


def test_a_training_that_ends_while_its_owner_is_asked_keeps_its_end(scene: Scene) -> None:
    training = scene.open()

    class Ends(FakeReplica):
        def cancel(self, training: str) -> bool:
            scene.registry.close_training(Training(training, "succeeded", 0.0, owner="b"))
            return False

    scene.replicas = Coordinator(
        FakeReplica("a", [], scene.registry),  # type: ignore[arg-type]
        FakePeers([Ends("b", [], scene.registry)]),
        scene.registry,
        Metrics(),
    )
    limits = Limits(at_once=1, queued=1, each=JobLimits(seconds=60, memory_bytes=2**32))
    queue = TrainingQueue(
        "a",
        TrainingServices(
            *(scene.registry, WorkerPool(), scene.replicas, CurrentModel(), limits),
            ProcessExecutor(WorkerPool()),
        ),
        Metrics(),
    )

    with pytest.raises(TrainingEnded):
        queue.cancel(training)

    assert scene.state(training) == "succeeded"
