"""Without keys: what a web page of another origin, or a foreign host name, may not do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import FakeRegistry
from tests.support.mlflow_server import free_port
from tests.support.server import Client, serve, settings_for

CHANGES = [
    ("POST", "/train"),
    ("POST", "/datasets"),
    ("POST", "/use-model"),
    ("DELETE", "/trainings/1"),
    ("DELETE", "/datasets/d"),
    ("DELETE", "/models/m/versions/1"),
    ("PUT", "/nothing"),
]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("local")
    with serve(settings_for(folder / "data"), FakeRegistry(folder)) as client:
        yield client


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service that listens on all addresses, as in a cluster: it cannot know its host names."""
    folder = tmp_path_factory.mktemp("public")
    with serve(settings_for(folder / "data", host="0.0.0.0"), FakeRegistry(folder)) as client:
        yield client


def _slug(client: Client, method: str, path: str, **headers: str) -> str:
    response = client.request(method, path, headers=headers)
    return str(response.json()["type"]).removeprefix("/problems/")


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://["]
)
def test_a_page_of_another_origin_changes_nothing(
    local: Client, method: str, path: str, origin: str
) -> None:
    response = local.request(method, path, headers={"origin": origin})

    assert response.status_code == 403
    assert response.json()["type"] == "/problems/foreign-origin"
    assert "x-request-id" in response.headers


def test_a_form_of_another_origin_trains_nothing(local: Client) -> None:
    files = {"file": ("rows.csv", b"a,y\n1,u\n2,v\n")}
    response = local.post("/train", files=files, headers={"origin": "http://evil.example"})

    assert response.status_code == 403
    assert local.get("/trainings").json()["trainings"] == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_dns_rebinding_to_this_machine_changes_nothing(local: Client, host: str) -> None:
    origin = f"http://{host}"

    assert _slug(local, "POST", "/train", host=host, origin=origin) == "foreign-origin"
    assert _slug(local, "POST", "/train", host=host) == "foreign-origin"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:9", "127.0.0.2"]
)
def test_this_machine_is_called_by_its_own_names(local: Client, host: str) -> None:
    origin = f"http://{host}"

    assert _slug(local, "DELETE", "/trainings/1", host=host) == "training-not-found"
    assert _slug(local, "DELETE", "/trainings/1", host=host, origin=origin) == "training-not-found"


def test_a_service_for_others_is_called_by_any_name_but_not_from_other_origins(
    public: Client,
) -> None:
    path, host = "/trainings/1", "api.example"

    assert _slug(public, "DELETE", path, host=host) == "training-not-found"
    assert _slug(public, "DELETE", path, host=host, origin=f"https://{host}") == (
        "training-not-found"
    )
    assert _slug(public, "DELETE", path, host=host, origin="https://evil.example") == (
        "foreign-origin"
    )


def test_what_changes_nothing_is_answered_to_any_origin(local: Client) -> None:
    headers = {"origin": "http://evil.example", "host": "evil.example"}

    assert local.get("/models", headers=headers).status_code == 200
    assert local.post("/predict", json={}, headers=headers).status_code == 503  # no model


def test_with_keys_the_key_decides(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"admin: {'0' * 64}\n")
    settings = settings_for(tmp_path / "data", api_keys_file=tmp_path / "keys")
    with serve(settings, FakeRegistry(tmp_path)) as client:
        assert _slug(client, "POST", "/train", origin="http://evil.example") == "unauthorized"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_service_alone_has_no_internal_calls(local: Client, method: str) -> None:
    internal = local.request(method, "/internal/confirm", content=b"{}")
    unknown = local.request(method, "/no-such-route", content=b"{}")

    assert (internal.status_code, internal.content) == (404, unknown.content)


def test_replicas_without_a_key_are_called_from_this_machine(tmp_path: Path) -> None:
    port = free_port()
    settings = settings_for(
        tmp_path / "data",
        port=port,
        replicas=(f"http://127.0.0.1:{port}",),
        mlflow_uri="http://127.0.0.1:1",
    )
    with serve(settings, FakeRegistry(tmp_path)) as client:
        assert client.post("/internal/confirm", content=b"{}").status_code == 200
