"""The end of a training: whether its version is in use everywhere, and which error it has."""

import errno
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.common.domain import DataSet, Training, UseWish
from service.common.errors import ReplicaSilent, StorageUnavailable
from service.common.metrics import Metrics
from service.processes import job_files as files
from service.processes.limits import JobLimits
from service.rollout.coordinator import Coordinator
from service.serving.current_model import CurrentModel
from service.training.executor import ProcessExecutor
from service.training.run import TrainingRun
from service.training.services import Limits, TrainingServices
from service.training.spec import TrainingSpec
from tests.support.comparing import Above, in_use, write_held_out
from tests.support.fakes import FakeRegistry, make_version
from tests.support.replicas import FakePeers, FakeReplica

LIMITS = Limits(at_once=1, queued=1, each=JobLimits(seconds=60, memory_bytes=2**32))
RESULT: dict[str, Any] = {
    "model_type": "SVC",
    "seconds": {},
    "metrics": {},
    "notes": [],
    "params": {},
    "chosen": {},
    "sha256": {"model.onnx": "0"},
    "features": [],
}


class FakeJob:
    search = None

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
        self.current_model = CurrentModel()
        self.folder = folder / "order"
        for name in (files.VERSION, files.REPORT):
            (self.folder / name).mkdir(parents=True)

    def run(self, *, use: UseWish = True, refit: bool = False) -> tuple[Training, TrainingRun]:
        training = self.registry.open_training(Training("", "queued", 0.0, name="m"), {})
        data_set = DataSet("d", "0", 1, (), None, 0.0)
        spec = TrainingSpec("m", "SVC", data_set, use, self.folder, refit=refit)
        services = TrainingServices(
            self.registry,
            self.workers,  # type: ignore[arg-type]
            self.replicas,
            self.current_model,
            LIMITS,
            ProcessExecutor(self.workers),  # type: ignore[arg-type]
        )
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


def put_in_use(scene: Scene, bound: float) -> None:
    """Have a version in use, at epoch 1, that answers the second class above the bound."""
    scene.registry.commit_use(make_version(name="m", version=3), "a test")
    scene.current_model = in_use(Above(bound), epoch=1)


def test_a_better_version_is_used_and_the_comparison_is_in_its_record(scene: Scene) -> None:
    put_in_use(scene, 2.5)
    write_held_out(scene.folder, [1, 2, 3, 4], [0, 0, 0, 1], Above(3.5))

    training, _ = scene.run(use="if-better")

    assert training.used
    assert training.comparison is not None
    assert training.comparison.verdict == "better"
    assert scene.registry.uses[-1].epoch == 2


@pytest.mark.parametrize("bound", [3.5, 2.5])
def test_a_version_that_is_not_better_is_kept_and_not_used(scene: Scene, bound: float) -> None:
    put_in_use(scene, 3.5)
    write_held_out(scene.folder, [1, 2, 3, 4], [0, 0, 0, 1], Above(bound))

    training, _ = scene.run(use="if-better")

    assert (training.state, training.version, training.used) == ("succeeded", 1, False)
    assert training.comparison is not None
    assert training.comparison.verdict == "not better"
    assert len(scene.registry.uses) == 1


def test_a_better_version_is_not_used_if_the_model_in_use_changed_meanwhile(scene: Scene) -> None:
    put_in_use(scene, 2.5)
    write_held_out(scene.folder, [1, 2, 3, 4], [0, 0, 0, 1], Above(3.5))
    scene.registry.commit_use(make_version(name="m", version=4), "somebody else")

    training, _ = scene.run(use="if-better")

    assert (training.state, training.used) == ("succeeded", False)
    assert training.comparison is not None
    assert training.comparison.verdict == "better"
    assert "the epoch was 1 and is 2" in training.notes[-1].message
    assert len(scene.registry.uses) == 2


def test_with_nothing_in_use_a_version_is_not_used_and_the_reason_is_told(scene: Scene) -> None:
    write_held_out(scene.folder, [1, 2, 3, 4], [0, 0, 0, 1], Above(3.5))

    training, _ = scene.run(use="if-better")

    assert not training.used
    assert not scene.registry.uses
    assert "No model is in use." in training.notes[-1].message


def test_with_refit_the_version_before_it_is_compared_and_that_is_told(scene: Scene) -> None:
    put_in_use(scene, 2.5)
    write_held_out(scene.folder, [1, 2, 3, 4], [0, 0, 0, 1], Above(3.5))

    training, _ = scene.run(use="if-better", refit=True)

    assert training.used
    assert "before it was fitted again" in training.notes[-1].message
