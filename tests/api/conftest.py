from collections.abc import Iterator

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.keys import line
from tests.support.server import Client, serve, settings_for


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service that asks for keys; the key `some` may request predictions."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "keys").write_text(line("predict", "some"))
    settings = settings_for(folder / "data", api_keys_file=folder / "keys")
    with serve(settings, FakeRegistry(folder)) as client:
        yield client
