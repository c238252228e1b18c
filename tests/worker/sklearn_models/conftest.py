"""A service on an embedded MLflow, to which the tests' own process logs models."""

from collections.abc import Iterator

import pytest

from service.registry.mlflow_registry import MlflowRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.stores import with_tables


@pytest.fixture(scope="module")
def foreign_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("foreign")
    settings = settings_for(folder / "data")
    registry = MlflowRegistry("", with_tables(settings.data_dir))
    with serve(settings, registry) as client:
        client.train(dataset="iris", model_type="GaussianNB", name="ours")
        yield client
