"""Every registry: the fake, embedded MLflow, and MLflow behind a server."""

from collections.abc import Iterator

import pytest

from service.common.ports import Registry
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.fakes import FakeRegistry
from tests.support.stores import with_tables


@pytest.fixture(scope="module", params=["fake", "embedded", "server"])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("registry")
    made: Registry
    if request.param == "fake":
        made = FakeRegistry(folder)
    elif request.param == "embedded":
        made = MlflowRegistry("", with_tables(folder))
    else:
        made = MlflowRegistry(request.getfixturevalue("mlflow_uri"), folder)
    yield made
    made.close()
