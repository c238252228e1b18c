from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.churn import customers
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for


@pytest.fixture(scope="package")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    return FakeRegistry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="package")
def served(registry: FakeRegistry, data: Path) -> Iterator[Client]:
    """The service with version 1 of `churn` in use."""
    with serve(settings_for(data, max_rows=500), registry) as client:
        client.train(
            name="churn",
            model_type="RandomForestClassifier",
            params={"n_estimators": 5, "max_depth": 3},
            dataset={"records": customers(300, 0)},
            target="churned",
        )
        yield client


@pytest.fixture
def client(served: Client, registry: FakeRegistry) -> Iterator[Client]:
    """The service, which was told nothing yet of this test's version."""
    registry.outcomes.clear()
    yield served
    registry.down = False
    # The records that it holds open are another version's from now on.
    known = registry.versions["churn", 1]
    registry.versions["churn", 1] = replace(known, created_at=known.created_at + 1)
