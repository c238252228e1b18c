"""The version in use while others rename or delete its model in MLflow."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from service.common.domain import Use, Version
from service.common.errors import NotFound, RegistryUnavailable, VersionNotServable
from service.common.metrics import Metrics
from service.common.traffic import Traffic
from service.rollout.last_served import LastServed
from service.rollout.registration import CHECK_SECONDS, Registration
from tests.support.fakes import FakeRegistry, make_version

VERSION = make_version(
    name="m", created_at=12.5, run_id="r1", sha256={"schema.json": "s", "model.onnx": "1"}
)
BY_HAND = Use(1, "m", 1, "", "", 0.0)
SECOND = make_version(name="n", created_at=13.5, run_id="r2", sha256={"schema.json": "t"})
BESIDE = Use.begin(
    1,
    VERSION,
    "a test",
    0.0,
    traffic=Traffic("n", 1, SECOND.digest, SECOND.run_id, SECOND.created_at, "shadow", 10),
)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = FakeRegistry(folder)
        self.now = 0.0
        self.metrics = Metrics()
        self.registration = self.start()
        self.put(VERSION)

    def start(self) -> Registration:
        last_served = LastServed(self.folder / "last.json")
        return Registration(self.registry, last_served, self.metrics, lambda: self.now)

    def put(self, version: Version) -> None:
        self.registry.versions[version.name, version.version] = version
        self.registry.numbers[version.name] = version.version

    def check(self) -> Version | None:
        self.now += CHECK_SECONDS
        return self.registration.renamed()

    def deleted(self) -> float | None:
        return self.metrics.registry.get_sample_value("service_model_in_use_deleted")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("use", [BY_HAND, Use.begin(1, VERSION, "a test", 0.0)])
def test_a_version_in_use_is_followed_through_two_names(scene: Scene, use: Use) -> None:
    scene.registration.record(use, VERSION)
    assert scene.check() is None

    for name in ("second", "third"):
        ((current, _),) = scene.registry.versions
        scene.registry.rename_model(current, name)
        renamed = scene.check()
        assert renamed is not None
        assert renamed.name == name
        scene.registration.record(use, renamed)

    present = scene.start().present(use)
    assert present is not None
    assert present.name == "third"


def test_mlflow_is_asked_at_most_every_two_seconds(scene: Scene) -> None:
    scene.registration.record(BY_HAND, VERSION)
    scene.check()
    scene.registry.rename_model("m", "other")

    assert scene.registration.renamed() is None
    assert scene.check() is not None


def test_a_deletion_is_told_once_and_ends_with_the_next_version(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.registration.record(BY_HAND, VERSION)
    scene.registry.delete_model("m")

    with caplog.at_level(logging.WARNING):
        assert [scene.check() for _ in range(3)] == [None, None, None]

    assert (len(caplog.messages), scene.deleted()) == (1, 1.0)
    assert scene.start().find(BY_HAND) == VERSION
    scene.registration.record(Use(2, "n", 1, "", "", 0.0), replace(VERSION, name="n"))
    assert scene.deleted() == 0.0


def test_a_deletion_of_the_second_version_is_told_once_and_ends_with_its_traffic(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.put(SECOND)
    scene.registration.record(BESIDE, VERSION, SECOND)
    assert (scene.check(), scene.deleted()) == (None, 0.0)
    scene.registry.delete_model("n")

    with caplog.at_level(logging.WARNING):
        assert [scene.check() for _ in range(3)] == [None, None, None]
        scene.registry.rename_model("m", "other")
        renamed = scene.check()

    (told,) = caplog.messages
    assert told.startswith("n version 1, which is beside the one in use, was deleted")
    assert scene.deleted() == 1.0
    assert renamed is not None
    assert renamed.name == "other"
    assert scene.start().find_second(BESIDE) == SECOND
    scene.registration.record(Use.begin(2, renamed, "a test", 0.0), renamed)
    assert scene.deleted() == 0.0


def test_a_copy_and_another_version_of_the_same_name_are_not_taken_for_it(scene: Scene) -> None:
    use = Use.begin(1, VERSION, "a test", 0.0)
    scene.registry.delete_model("m")
    scene.put(replace(VERSION, name="copy", created_at=13.0))

    with pytest.raises(NotFound):
        scene.registration.find(use)
    scene.put(replace(VERSION, run_id="r2", created_at=14.0))
    with pytest.raises(VersionNotServable):
        scene.registration.find(use)


def test_an_mlflow_that_is_down_says_nothing_about_a_deletion(scene: Scene) -> None:
    scene.registration.record(BY_HAND, VERSION)
    scene.registry.down = True

    with pytest.raises(RegistryUnavailable):
        scene.check()

    assert scene.deleted() == 0.0
