from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.grpc_client import GrpcClient, grpc_client
from tests.support.ports import free_port
from tests.support.server import Client, serve, settings_for


class Both(NamedTuple):
    """One service by its two protocols."""

    rest: Client
    grpc: GrpcClient
    registry: FakeRegistry


@pytest.fixture(scope="package")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A service with three models: iris in use, and one each of integers and booleans as labels."""
    folder = tmp_path_factory.mktemp("grpc")
    registry = FakeRegistry(folder / "registry")
    settings = settings_for(folder / "data", grpc_port=free_port())
    with serve(settings, registry) as rest, grpc_client(settings.grpc_port) as grpc:
        rest.train(name="iris", model_type="LogisticRegression", dataset="iris")
        rows: list[list[Any]] = [
            [34.5, "Rio", True, 1],
            [51, None, False, 0],
            [None, "Lima", True, 1],
        ] * 20
        forest: dict[str, Any] = {
            "model_type": "RandomForestClassifier",
            "params": {"n_estimators": 3},
        }
        names = ["age", "city", "vip", "churned"]
        for name, label in (("mixed", int), ("truth", bool)):
            labelled = [[*row[:3], label(row[3])] for row in rows]
            data = {"columns": names, "rows": labelled}
            rest.train(name=name, dataset=data, target="churned", use=False, **forest)
        yield Both(rest, grpc, registry)
