"""Browsers of other origins: let in where a setting names them, and nowhere else."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

ORIGIN = "https://pages.example"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type",
}
ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


@pytest.fixture(scope="module")
def open_to_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("cors")
    settings = settings_for(folder / "data", cors_origins=ORIGIN)
    with serve(settings, FakeRegistry(folder)) as client:
        client.train(name="iris", model_type="GaussianNB", dataset="iris")
        yield client


@pytest.fixture(scope="module")
def open_with_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("cors-keys")
    (folder / "keys").write_text(f"admin: {hashlib.sha256(b'mine').hexdigest()}\n")
    keys = {"api_keys_file": folder / "keys", "cors_origins": ORIGIN}
    with serve(settings_for(folder / "data", **keys), FakeRegistry(folder)) as client:
        yield client


def allowed(reply: httpx.Response) -> str | None:
    origin: str | None = reply.headers.get("access-control-allow-origin")
    return origin


def test_without_the_setting_no_page_of_another_origin_is_let_in(client: Client) -> None:
    assert allowed(client.options("/predict", headers=PREFLIGHT)) is None
    assert allowed(client.predict(ROW, origin=ORIGIN)) is None
    use = {"name": "iris", "version": 1}
    assert client.post("/use-model", json=use, headers={"origin": ORIGIN}).status_code == 403


def test_a_page_of_an_origin_that_is_named_may_ask_and_read_the_answer(
    open_to_pages: Client,
) -> None:
    preflight = open_to_pages.options("/predict", headers=PREFLIGHT)
    answered = open_to_pages.predict(ROW, origin=ORIGIN)
    used = open_to_pages.post(
        "/use-model", json={"name": "iris", "version": 1}, headers={"origin": ORIGIN}
    )

    assert preflight.status_code == 200
    assert answered.status_code == used.status_code == 200
    assert allowed(preflight) == allowed(answered) == allowed(used) == ORIGIN
    assert "X-Model-Version" in answered.headers["access-control-expose-headers"]


def test_a_page_may_send_the_header_by_which_traffic_is_split(open_to_pages: Client) -> None:
    asked = {**PREFLIGHT, "access-control-request-headers": "content-type, x-customer"}

    preflight = open_to_pages.options("/predict", headers=asked)

    assert preflight.status_code == 200
    assert "x-customer" in preflight.headers["access-control-allow-headers"].lower()


def test_a_page_of_another_origin_is_refused_all_the_same(open_to_pages: Client) -> None:
    other = {**PREFLIGHT, "origin": "https://other.example"}
    use = {"name": "iris", "version": 1}

    assert allowed(open_to_pages.options("/predict", headers=other)) is None
    refused = open_to_pages.post("/use-model", json=use, headers={"origin": other["origin"]})
    assert refused.status_code == 403


def test_a_browser_asks_without_a_key_whether_it_may_send_one(open_with_keys: Client) -> None:
    preflight = open_with_keys.options("/use-model", headers=PREFLIGHT)
    refused = open_with_keys.predict(ROW, origin=ORIGIN)

    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert refused.status_code == 401
    assert allowed(refused) == ORIGIN


@pytest.mark.parametrize("origins", ["*", "pages.example", "https://a.example/path", "null"])
def test_what_is_no_origin_stops_the_start(tmp_path: Path, origins: str) -> None:
    with pytest.raises(ValueError, match="must be origins"):
        settings_for(tmp_path, cors_origins=origins)
