"""The end of a training: whether its version is in use everywhere, and which error it has."""

import errno
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.common.domain import DataSet, Training
from service.common.errors import ReplicaSilent, StorageUnavailable
from service.common.metrics import Metrics
from service.processes import job_files as files
from service.processes.limits import JobLimits
from service.rollout.coordinator import Coordinator
from service.training.run import Limits, TrainingRun, TrainingServices, TrainingSpec
from tests.support.fakes import FakeRegistry
from tests.support.replicas import FakePeers, FakeReplica

LIMITS = Limits(at_once=1, queued=1, each=JobLimits(seconds=60, memory_bytes=2**32))
RESULT = {
    "seconds": {},
    "metrics": {},
    "notes": [],
    "params": {},
    "chosen": {},
    "sha256": {"model.onnx": "0"},
    "features": [],
}


class FakeJob:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def wait(self, seconds: float) -> dict[str, Any]:  # noqa: ARG002
        if self.error is not None:
            raise self.error
        return RESULT


class FakeWorkers:
    """Workers whose jobs end at once, with a result or an error."""

    error: Exception | None = None

    def start(self, *_: object) -> FakeJob:
        return FakeJob(self.error)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.registry = FakeRegistry(folder / "registry")
        self.b = FakeReplica("b", [], self.registry)
        local = FakeReplica("a", [], self.registry)
        self.replicas = Coordinator(local, FakePeers([self.b]), self.registry, Metrics())  # type: ignore[arg-type]
        self.workers = FakeWorkers()
        self.folder = folder / "order"
        for name in (files.VERSION, files.REPORT):
            (self.folder / name).mkdir(parents=True)

    def run(self, *, use: bool = True) -> tuple[Training, TrainingRun]:
        training = self.registry.open_training(Training("", "queued", 0.0, name="m"), {})
        data_set = DataSet("d", "0", 1, (), None, 0.0)
        spec = TrainingSpec("m", "SVC", data_set, use, self.folder)
        services = TrainingServices(self.registry, self.workers, self.replicas, LIMITS)  # type: ignore[arg-type]
        run = TrainingRun(training, spec)
        return run.run(services), run


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.replicas.close()


def test_a_version_that_all_replicas_confirm_is_used(scene: Scene) -> None:
    training, _ = scene.run()

    assert (training.state, training.used, training.missing) == ("succeeded", True, ())


def test_a_version_that_a_replica_does_not_confirm_is_not_used_and_names_the_replica(
    scene: Scene,
) -> None:
    scene.b.fails["swap"] = ReplicaSilent("b")

    training, _ = scene.run()

    assert (training.state, training.used, training.missing) == ("succeeded", False, ("b",))


def test_a_version_that_was_not_to_be_used_has_no_missing_replicas(scene: Scene) -> None:
    training, _ = scene.run(use=False)

    assert (training.used, training.missing) == (False, ())


def test_a_full_disk_is_reported_as_one(scene: Scene) -> None:
    scene.workers.error = OSError(errno.ENOSPC, "No space left on device")

    training, run = scene.run()

    assert "no space is left" in (training.error or "")
    assert isinstance(run.failure, StorageUnavailable)


def test_another_error_of_the_system_is_a_defect_and_no_full_disk(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.workers.error = OSError(errno.EMFILE, "Too many open files")

    with caplog.at_level(logging.ERROR, "service.training.run"):
        training, run = scene.run()

    assert (training.state, training.fault) == ("failed", "service")
    assert training.error == "It met an internal error."
    assert run.failure is None
    assert "Too many open files" in caplog.text
