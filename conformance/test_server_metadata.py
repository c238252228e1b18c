"""`GET /v2`."""

from typing import Any

import httpx
import pytest

from conformance.target import parsed


@pytest.fixture(scope="module")
def metadata(client: httpx.Client) -> Any:
    response = client.get("/v2")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    return parsed(response.content)


@pytest.mark.parametrize("key", ["name", "version"])
def test_the_server_has_a_name_and_a_version(metadata: Any, key: str) -> None:
    assert isinstance(metadata[key], str)
    assert metadata[key]


def test_extensions_are_a_list_of_names(metadata: Any) -> None:
    assert isinstance(metadata["extensions"], list)
    assert all(isinstance(name, str) and name for name in metadata["extensions"])


def test_an_unknown_path_is_not_found(client: httpx.Client) -> None:
    assert client.get("/v2/no-such-path").status_code == 404
