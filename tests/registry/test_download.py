"""The download of a version's files stays within its limits, whatever the listing says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.common.errors import VersionNotServable
from service.registry.connection import Connection
from service.registry.download import Bounds, Entry, FolderSource, NotFetchable, download
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.mlflow_server import free_port, mlflow_server

FEW = Bounds(entries=10, size=1000)


class FakeSource:
    """Files whose listing may be wrong; counts the bytes that are read."""

    def __init__(self, *entries: Entry, size: int = 100) -> None:
        self._entries = entries
        self._size = size
        self.read_bytes = 0

    def entries(self) -> Iterator[Entry]:
        yield from self._entries

    def has(self, path: str) -> bool:
        raise AssertionError(path)

    def files_of(self, folder: str) -> Iterator[str]:
        raise AssertionError(folder)

    def write(self, file: Path, folder: str) -> None:
        raise AssertionError(file, folder)

    def read(self, path: str, _size: int = 0, /) -> Iterator[bytes]:
        assert path in [entry.path for entry in self._entries]
        for _ in range(self._size // 100):
            self.read_bytes += 100
            yield b"0" * 100

    def delete(self, path: str) -> None:
        raise AssertionError(path)


def test_files_within_the_limits_arrive_unchanged(tmp_path: Path) -> None:
    files = {"MLmodel": b"flavors", "data/model.onnx": b"graph", "data/deep/er": b""}
    for name, data in files.items():
        path = tmp_path / "from" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    download(FolderSource(tmp_path / "from"), tmp_path / "to", FEW)

    assert {name: (tmp_path / "to" / name).read_bytes() for name in files} == files


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("large", 1001, False)],
        [Entry("half", 501, False), Entry("other-half", 500, False)],
        [Entry(f"{number}", 0, False) for number in range(11)],
        [Entry(f"{number}", 0, True) for number in range(11)],
    ],
    ids=["large", "large together", "many files", "many folders"],
)
def test_nothing_is_fetched_of_a_version_over_the_limits(
    tmp_path: Path, entries: list[Entry]
) -> None:
    source = FakeSource(*entries)

    with pytest.raises(NotFetchable, match="more than"):
        download(source, tmp_path, FEW)

    assert source.read_bytes == 0


def test_a_file_that_is_larger_than_listed_is_abandoned_at_the_limit(tmp_path: Path) -> None:
    source = FakeSource(Entry("a", 0, False), Entry("b", 100, False), size=10**6)

    with pytest.raises(NotFetchable, match="more than"):
        download(source, tmp_path, FEW)

    assert source.read_bytes == 1100
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


@pytest.mark.parametrize("path", ["../above", "/etc/above", "a/../../above"])
def test_a_file_is_written_nowhere_else(tmp_path: Path, path: str) -> None:
    with pytest.raises(NotFetchable, match="outside of its folder"):
        download(FakeSource(Entry(path, 100, False)), tmp_path / "in", FEW)

    assert not (tmp_path / "above").exists()


def test_artifacts_are_requested_from_no_other_server(tmp_path: Path) -> None:
    own = f"http://127.0.0.1:{free_port()}"
    connection = Connection(own, tmp_path)

    for location in (f"mlflow-artifacts://127.0.0.1:{free_port()}/1", "http://127.0.0.1/", "/etc"):
        with pytest.raises(NotFetchable, match="outside of MLflow's own storage"):
            connection.source(location)
    assert connection.source("mlflow-artifacts:/1/artifacts")
    assert connection.source(f"mlflow-artifacts://{own.removeprefix('http://')}/1/artifacts")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Run a real server; return its address and the folder of its artifacts."""
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder) as uri:
        yield uri, folder / "artifacts"


def _registered(uri: str, name: str, folder: Path) -> str:
    """Register a foreign version with the files of a folder; return its run."""
    client = MlflowClient(uri, uri)
    run = client.create_run("0")
    client.log_artifacts(run.info.run_id, str(folder), "model")
    client.create_registered_model(name)
    client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
    return str(run.info.run_id)


@pytest.mark.slow
def test_an_mlflow_server_gets_no_more_requests_than_the_limits_allow(
    server: tuple[str, Path], tmp_path: Path
) -> None:
    uri, stored = server
    (tmp_path / "made" / "data").mkdir(parents=True)
    (tmp_path / "made" / "MLmodel").write_bytes(b"flavors")
    (tmp_path / "made" / "data" / "model").write_bytes(bytes(range(256)) * 8192)
    run = _registered(uri, "bounded", tmp_path / "made")
    (place,) = stored.rglob(f"{run}/artifacts/model")
    registry = MlflowRegistry(uri, tmp_path / "data")
    version = registry.get_version("bounded", 1)

    got = registry.fetch(version, tmp_path / "got")
    assert (got / "data" / "model").read_bytes() == bytes(range(256)) * 8192

    with (place / "data" / "large").open("wb") as file:
        file.truncate(2 * 2**30)  # a sparse file, which uses no disk space
    with pytest.raises(VersionNotServable, match="its files have more than 2,048 MiB"):
        registry.fetch(version, tmp_path / "too-large")
    (place / "data" / "large").unlink()

    for number in range(1000):
        (place / "data" / f"{number}").touch()
    with pytest.raises(VersionNotServable, match="it has more than 1,000 files and folders"):
        registry.fetch(version, tmp_path / "too-many")
    assert not list((tmp_path / "too-large").iterdir())
    assert not list((tmp_path / "too-many").iterdir())
