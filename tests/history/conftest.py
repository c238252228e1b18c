from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.history.cluster import Cluster, cluster
from tests.history.target import Target
from tests.support.mlflow_server import mlflow_server
from tests.support.server import serve, settings_for


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
        with serve(settings_for(folder / "train", mlflow_uri=uri)) as client:
            address = client.base_url
            versions = Target("alone", address.host, address.port or 80).train(2)
        yield Store(uri, folder / "server.db", versions)


@pytest.fixture(scope="module")
def three(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three replicas of the service as it is, but for how often rules are looked at."""
    folder = tmp_path_factory.mktemp("history")
    with cluster(folder, store.uri, module="tests.history.hasty") as replicas:
        yield replicas


@pytest.fixture(scope="module")
def breakable(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three replicas that can be given defects."""
    with cluster(
        tmp_path_factory.mktemp("mutants"), store.uri, module="tests.history.mutant"
    ) as replicas:
        yield replicas
