"""Health: the status says it; where there is a body, it says the same."""

import httpx
import pytest

from conformance.target import Infer, Model, parsed, refused


@pytest.mark.parametrize(("path", "key"), [("live", "live"), ("ready", "ready")])
def test_the_server_is_live_and_ready(client: httpx.Client, path: str, key: str) -> None:
    response = client.get(f"/v2/health/{path}")

    assert response.status_code == 200
    if response.content:
        # The specification's text has "live" in both replies.
        body = parsed(response.content)
        assert body.get(key, body.get("live")) is True


def test_the_model_is_ready(client: httpx.Client, infer: Infer, model: Model) -> None:
    response = client.get(f"{infer.path()}/ready")

    assert response.status_code == 200
    if response.content:
        body = parsed(response.content)
        assert body["ready"] is True
        assert body.get("name", model.name) == model.name


def test_an_unknown_model_is_not_ready(client: httpx.Client) -> None:
    refused(client.get("/v2/models/no-such-model/ready"))


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2"])
def test_what_is_read_cannot_be_posted(client: httpx.Client, path: str) -> None:
    assert client.post(path, json={}).status_code in (404, 405)
