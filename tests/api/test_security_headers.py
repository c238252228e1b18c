"""Replies tell browsers to do nothing with them; predictions on the fast path are as they were."""

from pathlib import Path

import pytest

from service.api.security_headers import SECURITY_HEADERS
from tests.support.fakes import FakeRegistry
from tests.support.process import ROW
from tests.support.server import Client, serve, settings_for

NAMES = {name.decode() for name, _ in SECURITY_HEADERS}
PATHS = {"name": "iris", "version": "1", "training": "a" * 32}


def _missing(client: Client, method: str, path: str, **headers: str) -> set[str]:
    return NAMES - set(client.request(method, path, headers=headers).headers)


def test_everything_that_is_read_has_the_headers(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    read = [path.format(**PATHS) for path, item in paths.items() if "get" in item]

    assert len(read) > 20
    for path in [*read, "/openapi.json", "/", "/docs", "/docs/assets/swagger-ui.css", "/nothing"]:
        assert _missing(client, "GET", path) == set(), path


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/train"), ("POST", "/use-model"), ("DELETE", "/datasets/none"), ("PUT", "/models")],
)
def test_errors_of_other_methods_have_the_headers(client: Client, method: str, path: str) -> None:
    assert _missing(client, method, path) == set()


def test_what_is_refused_before_its_route_is_found_has_the_headers(
    client: Client, locked: Client
) -> None:
    assert _missing(client, "POST", "/train", origin="http://evil.example") == set()
    assert _missing(locked, "GET", "/models") == set()
    assert _missing(locked, "POST", "/train", authorization="Bearer some") == set()


def test_a_page_has_its_own_policy_once(client: Client) -> None:
    policies = client.get("/").headers.get_list("content-security-policy")

    assert len(policies) == 1
    assert "script-src 'self'" in policies[0]


@pytest.mark.parametrize("fast", [True, False])
def test_a_prediction_has_the_headers_that_it_always_had(tmp_path: Path, fast: bool) -> None:
    settings = settings_for(tmp_path / "data", short_way=fast)
    with serve(settings, FakeRegistry(tmp_path)) as client:
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        response = client.predict(ROW)

    assert response.status_code == 200
    model = {"x-model-name", "x-model-version", "x-model-epoch"}
    assert set(response.headers) == {"date", "content-type", "content-length", *model}
