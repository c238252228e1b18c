"""This process as a replica: what it keeps prepared, and for how long."""

from pathlib import Path

import pytest

from service.common.domain import Version
from service.common.errors import VersionNotServable
from service.common.metrics import Metrics
from service.rollout.coordinator import Coordinator
from service.rollout.last_served import LastServed
from service.rollout.local_replica import LEASE_SECONDS, LocalReplica
from service.serving.current_model import CurrentModel
from tests.support.fakes import FakeRegistry, make_version
from tests.support.replicas import FakeLoader, FakePeers, FakePredictor, FakeReplica


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = FakeRegistry(folder)
        self.loader = FakeLoader()
        self.now = 0.0
        self.local = self.start()

    def start(self) -> LocalReplica:
        return LocalReplica(
            "a",
            self.registry,
            self.loader,  # type: ignore[arg-type]
            CurrentModel(),
            Metrics(),
            LastServed(self.folder / "last.json"),
            clock=lambda: self.now,
        )

    def version(self, number: int) -> Version:
        version = make_version(version=number, sha256={"model.onnx": str(number)})
        self.registry.versions[version.name, number] = version
        return version


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_refused_change_leaves_nothing_loaded(scene: Scene) -> None:
    refusing = FakeReplica("b", [], scene.registry)
    refusing.fails["prepare"] = VersionNotServable("m", 1, "no.")
    replicas = Coordinator(scene.local, FakePeers([refusing]), scene.registry, Metrics())

    with pytest.raises(VersionNotServable):
        replicas.use(scene.version(1), "a test")

    assert len(scene.loader.loaded) == 1
    assert scene.loader.alive() == 0
    replicas.close()


def test_versions_prepared_for_a_vanished_leader_are_released_by_a_poll(scene: Scene) -> None:
    scene.local.grant("gone")
    scene.local.prepare("gone", scene.version(1))
    assert scene.loader.alive() == 1

    scene.local.stage("")
    assert scene.loader.alive() == 1
    scene.now += LEASE_SECONDS
    scene.local.stage("")

    assert scene.loader.alive() == 0


def test_a_prepared_version_is_used_by_the_swap_and_loaded_once(scene: Scene) -> None:
    replicas = Coordinator(scene.local, FakePeers([]), scene.registry, Metrics())

    replicas.use(scene.version(1), "a test")

    assert len(scene.loader.loaded) == 1
    assert scene.loader.alive() == 1
    replicas.close()


def test_a_version_that_is_loaded_after_its_change_has_ended_is_released(scene: Scene) -> None:
    scene.local.grant("late")
    load = scene.loader.load

    def load_late(version: Version) -> FakePredictor:
        scene.local.release("late")
        return load(version)

    scene.loader.load = load_late  # type: ignore[method-assign]
    scene.local.prepare("late", scene.version(1))

    assert scene.loader.alive() == 0
