import hashlib
from collections.abc import Iterator

import pytest
from hypothesis import settings

from service.auth.api_keys import ApiKeys
from tests.support.fakes import FakeRegistry
from tests.support.mlflow_server import mlflow_server
from tests.support.server import Client, serve, settings_for

# For `make fuzz`: python -m pytest --hypothesis-profile long …
settings.register_profile("long", max_examples=10_000, deadline=None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that have slow tests, so that no process is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> FakeRegistry:
    return FakeRegistry(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="session")
def shared_client(
    registry: FakeRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """The service over a fake registry, started once for all tests that can share it."""
    with serve(settings_for(tmp_path_factory.mktemp("data")), registry) as client:
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        yield client


@pytest.fixture
def client(shared_client: Client, registry: FakeRegistry) -> Iterator[Client]:
    """The shared service with iris version 1 in use; MLflow is up again afterwards."""
    last = registry.uses[-1]
    if (last.name, last.version, last.follows) != ("iris", 1, ""):
        used = shared_client.post("/use-model", json={"name": "iris", "version": 1})
        assert used.status_code == 200, used.text
    yield shared_client
    registry.down = False
    registry.aliases.clear()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ApiKeys:
    """API keys, of which `mine` may request predictions."""
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"predict: {hashlib.sha256(b'mine').hexdigest()}\n")
    return ApiKeys(path)


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service that waits two seconds for the rest of a request; no model is in use."""
    folder = tmp_path_factory.mktemp("impatient")
    settings = settings_for(folder / "data", idle_seconds=2.0)
    with serve(settings, FakeRegistry(folder)) as client:
        yield client


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server, which takes seconds to start: all tests may share it."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri
