"""The loader's cache: it keeps the version in use, and concurrent callers share one fetch."""

import errno
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from service.common.domain import Version
from service.common.errors import RegistryUnavailable
from service.processes.pool import WorkerPool
from service.schema.decoder import Limits
from service.schema.reference import FILE
from service.serving.loader import Loader
from service.skew.tallies import Tallies
from tests.support.fakes import FakeRegistry, make_version
from tests.support.server import Client, serve, settings_for

OTHERS = 12
"""More versions than the cache keeps."""


class FailingFirst(FakeRegistry):
    """Fails the first fetch; each later one waits until the first caller retries."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.second_waits, self.asks_again = threading.Event(), threading.Event()
        self.first_began = threading.Event()
        self.under_way = 0
        self.most = 0

    def fetch(self, version: Version, folder: Path) -> Path:
        if not self.first_began.is_set():
            self.first_began.set()
            assert self.second_waits.wait(60)
            raise RegistryUnavailable("it was switched off by a test.")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        assert self.asks_again.wait(60)
        try:
            return super().fetch(version, folder)
        finally:
            self.under_way -= 1


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    return FakeRegistry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def service(registry: FakeRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serve(settings_for(tmp_path_factory.mktemp("data")), registry) as client:
        client.train(name="iris", model_type="GaussianNB", dataset="iris")
        yield client


def _copies(registry: FakeRegistry) -> list[Version]:
    """Register copies of the first version's files as other versions."""
    first = registry.versions["iris", 1]
    versions = []
    for number in range(2, OTHERS + 2):
        version = replace(first, version=number, created_at=first.created_at + number)
        if not registry.files(version).exists():
            shutil.copytree(registry.files(first), registry.files(version))
        registry.versions["iris", number] = version
        versions.append(version)
    return versions


def test_looking_at_other_versions_does_not_evict_the_one_in_use(
    service: Client, registry: FakeRegistry
) -> None:
    for version in _copies(registry):
        assert service.get(f"/models/iris/versions/{version.version}").status_code == 200
    registry.storage_down = True

    again = service.post("/use-model", json={"name": "iris", "version": 1})
    described = service.get("/models/iris/versions/1")
    registry.storage_down = False

    assert again.status_code == 200
    assert "schema" in described.json()


@pytest.mark.usefixtures("service")
def test_one_fetch_is_under_way_however_many_ask(registry: FakeRegistry, tmp_path: Path) -> None:
    failing = FailingFirst(registry.folder)
    version = registry.versions["iris", 1]
    loader = Loader(failing, WorkerPool(), tmp_path / "cache", Limits(), False)
    schemas: list[object] = []

    def ask_twice() -> None:
        with pytest.raises(RegistryUnavailable):
            loader.schema(version)
        failing.asks_again.set()
        schemas.append(loader.schema(version))

    def ask() -> None:
        failing.second_waits.set()
        schemas.append(loader.schema(version))

    threads = [threading.Thread(target=ask_twice)]
    threads[0].start()
    assert failing.first_began.wait(60)
    threads += [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads[1:]:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(schemas) == 5
    assert failing.most == 1


@pytest.mark.usefixtures("service")
def test_a_version_is_loaded_with_its_reference(registry: FakeRegistry, tmp_path: Path) -> None:
    loader = Loader(
        registry, WorkerPool(), tmp_path / "cache", Limits(), False, tallies=Tallies(5000)
    )

    tally = loader.load(registry.versions["iris", 1]).tally

    assert tally is not None
    found = tally.reference
    assert found is not None
    assert (found.rows, len(found.features), sum(found.answers.counts)) == (120, 4, 30)


@pytest.mark.usefixtures("service")
def test_a_version_of_an_older_release_is_loaded_without_one(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    first = registry.versions["iris", 1]
    digests = {name: digest for name, digest in first.sha256.items() if name != FILE}
    loader = Loader(
        registry, WorkerPool(), tmp_path / "cache", Limits(), False, tallies=Tallies(5000)
    )

    predictor = loader.load(replace(first, sha256=digests))

    assert predictor.tally is not None
    assert predictor.tally.reference is None
    assert b"predictions" in predictor.predict(orjson.dumps(predictor.example))[0]


def test_an_error_of_the_system_that_is_no_full_disk_is_a_defect(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    class Broken(FakeRegistry):
        def fetch(self, version: Version, folder: Path) -> Path:  # noqa: ARG002
            raise OSError(errno.EMFILE, "Too many open files")

    loader = Loader(Broken(registry.folder), WorkerPool(), tmp_path / "cache", Limits(), False)

    with pytest.raises(OSError, match="Too many open files"):
        loader.schema(make_version(sha256={"schema.json": "0"}))
