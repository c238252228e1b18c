"""Versions beside the one in use: loaded once, kept within bounds, looked up again."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from service.common.domain import Version
from service.common.errors import ModelNotFound, VersionNotServable
from service.common.metrics import Metrics
from service.serving import loaded_versions
from service.serving.loaded_versions import LoadedVersions
from service.serving.predictor import Predictor
from tests.support.classifiers import FakeClassifier, predictor_of
from tests.support.fakes import FakeRegistry
from tests.support.waiting import until


class FakeLoader:
    """Loads versions that have a size; some cannot be served."""

    def __init__(self) -> None:
        self.loads: list[tuple[str, int]] = []
        self.go = threading.Event()
        self.go.set()
        self.unservable: set[int] = set()

    def load(self, version: Version) -> Predictor:
        assert self.go.wait(10)
        self.loads.append((version.name, version.version))
        if version.version in self.unservable:
            raise VersionNotServable(version.name, version.version, "it is broken.")
        predictor = predictor_of(FakeClassifier(), 2)
        predictor.name, predictor.version = version.name, version.version
        predictor.stored_bytes = 10
        return predictor


class Scene:
    def __init__(self, folder: Path, most: int = 2, most_bytes: int = 1000) -> None:
        self.registry = FakeRegistry(folder)
        self.loader = FakeLoader()
        self.metrics = Metrics()
        loader: Any = self.loader
        self.versions = LoadedVersions(self.registry, loader, self.metrics, most, most_bytes)
        for number in (1, 2, 3):
            self.register(number)

    def register(self, number: int, at: float | None = None) -> None:
        self.registry.versions["m", number] = Version("m", number, at or float(number))
        self.registry.numbers["m"] = number

    async def number(self, version: int | None) -> int:
        return (await self.versions.get("m", version)).predictor.version


def run(scene: Scene, acts: Coroutine[Any, Any, None]) -> None:
    async def whole() -> None:
        try:
            await acts
        finally:
            scene.versions.close()

    asyncio.run(whole())


def test_however_many_ask_a_version_is_loaded_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def acts() -> None:
        scene.loader.go.clear()
        asked = [asyncio.create_task(scene.number(1)) for _ in range(20)]
        await asyncio.sleep(0)
        asked[0].cancel()  # a client that leaves ends nothing
        scene.loader.go.set()
        assert await asyncio.gather(*asked[1:]) == [1] * 19

    run(scene, acts())
    assert scene.loader.loads == [("m", 1)]


def test_the_version_that_was_asked_for_longest_ago_goes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, most=2)

    async def acts() -> None:
        for version in (1, 2, 1, 3):
            await scene.number(version)
        assert scene.versions.loaded() == {("m", 1), ("m", 3)}

    run(scene, acts())


def test_versions_go_where_their_files_are_too_large_in_sum_but_never_the_last(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, most=3, most_bytes=5)

    async def acts() -> None:
        for version in (1, 2):
            assert await scene.number(version) == version
        assert scene.versions.loaded() == {("m", 2)}

    run(scene, acts())


def test_without_a_number_the_newest_that_can_be_served_answers(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.loader.unservable = {3}

    async def acts() -> None:
        assert await scene.number(None) == 2
        with pytest.raises(VersionNotServable):
            await scene.number(3)
        with pytest.raises(ModelNotFound):
            await scene.versions.get("other", None)

    run(scene, acts())


def test_a_newer_version_is_found_while_the_older_one_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_versions, "FRESH_SECONDS", 0.0)
    scene = Scene(tmp_path)

    async def acts() -> None:
        assert await scene.number(None) == 3
        scene.register(4)
        assert await scene.number(None) == 3  # nobody waits for the look

        async def newest() -> bool:
            return await scene.number(None) == 4

        await until(newest)

    run(scene, acts())


def test_a_number_that_was_given_again_after_a_deletion_is_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_versions, "FRESH_SECONDS", 0.0)
    scene = Scene(tmp_path)

    async def acts() -> None:
        first = await scene.versions.get("m", 1)
        scene.register(1, at=100.0)

        async def another() -> bool:
            return await scene.versions.get("m", 1) is not first

        await until(another)

    run(scene, acts())
    assert scene.loader.loads == [("m", 1), ("m", 1)]
