from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.history.cluster import Cluster, cluster
from tests.support.mlflow_server import mlflow_server


@dataclass(frozen=True, slots=True)
class Store:
    """A running MLflow server with versions to put in use."""

    uri: str
    database: Path
    versions: list[int]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Start MLflow once for all histories, and train once."""
    folder: Path = tmp_path_factory.mktemp("history-mlflow")
    with mlflow_server(folder) as uri:
        with cluster(folder / "train", uri, count=1) as alone:
            versions = alone.replicas[0].train(2)
        yield Store(uri, folder / "server.db", versions)


@pytest.fixture(scope="module")
def three(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three replicas of the service as it is."""
    with cluster(tmp_path_factory.mktemp("history"), store.uri) as replicas:
        yield replicas
