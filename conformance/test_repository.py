"""The model repository extension. What loads and unloads needs `--repository`."""

import json
from typing import Any

import httpx
import pytest

from conformance.target import Infer, Model, answered, parsed, refused

pytestmark = pytest.mark.usefixtures("repository")

_STATES = {"READY", "UNAVAILABLE", "LOADING", "UNLOADING", "UNKNOWN"}


def _index(client: httpx.Client, content: bytes = b"{}") -> list[Any]:
    headers = {"content-type": "application/json"}
    response = client.post("/v2/repository/index", content=content, headers=headers)
    assert response.status_code == 200, response.text
    models: list[Any] = parsed(response.content)
    return models


def test_the_index_lists_the_model(client: httpx.Client, model: Model) -> None:
    items = [item for item in _index(client) if item["name"] == model.name]

    assert "READY" in {str(item["state"]).upper() for item in items}


def test_items_have_name_state_and_reason(client: httpx.Client) -> None:
    for item in _index(client):
        assert isinstance(item["name"], str)
        assert str(item["state"]).upper() in _STATES
        assert isinstance(item.get("version") or "", str)
        assert isinstance(item.get("reason") or "", str)


def test_no_body_asks_for_all_or_is_refused(client: httpx.Client) -> None:
    response = client.post("/v2/repository/index")

    # The specification requires a body; most servers take none for an empty one.
    if response.status_code == 200:
        names = {item["name"] for item in _index(client)}
        assert {item["name"] for item in parsed(response.content)} == names
    else:
        refused(response)


def test_only_ready_models_can_be_asked_for(client: httpx.Client, model: Model) -> None:
    ready = _index(client, json.dumps({"ready": True}).encode())

    assert model.name in {item["name"] for item in ready}
    assert {str(item["state"]).upper() for item in ready} == {"READY"}


@pytest.mark.parametrize("content", [b"{", b"7", b'{"ready": "x"}'])
def test_a_wrong_index_request_is_refused(client: httpx.Client, content: bytes) -> None:
    headers = {"content-type": "application/json"}

    refused(client.post("/v2/repository/index", content=content, headers=headers))


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize("content", [b"", b"{}", b'{"parameters": {}}'])
def test_a_loaded_model_is_ready(
    client: httpx.Client, infer: Infer, model: Model, content: bytes
) -> None:
    headers = {"content-type": "application/json"} if content else {}
    response = client.post(
        f"/v2/repository/models/{model.name}/load", content=content, headers=headers
    )

    assert response.status_code == 200, response.text
    assert client.get(f"{infer.path()}/ready").status_code == 200
    assert answered(infer.json(model.request()), model)


@pytest.mark.usefixtures("loading")
def test_a_model_is_unloaded_or_kept_with_a_reason(
    client: httpx.Client, infer: Infer, model: Model
) -> None:
    response = client.post(f"/v2/repository/models/{model.name}/unload")
    try:
        if response.status_code != 200:
            refused(response, 400, 403, 409)
            assert answered(infer.json(model.request()), model)
        elif client.get(f"{infer.path()}/ready").status_code == 200:
            # Loaded again when it is asked for.
            assert answered(infer.json(model.request()), model)
        else:
            refused(infer.json(model.request()), 400, 404, 503)
    finally:
        loaded = client.post(f"/v2/repository/models/{model.name}/load")
    assert loaded.status_code == 200, loaded.text
    assert answered(infer.json(model.request()), model)


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize("action", ["load", "unload"])
def test_an_unknown_model_is_refused(client: httpx.Client, action: str) -> None:
    refused(client.post(f"/v2/repository/models/no-such-model/{action}"))


@pytest.mark.usefixtures("loading")
def test_a_wrong_load_request_is_refused_or_not_read(
    client: httpx.Client, infer: Infer, model: Model
) -> None:
    headers = {"content-type": "application/json"}
    path = f"/v2/repository/models/{model.name}/load"
    response = client.post(path, content=b"{", headers=headers)

    assert response.status_code == 200 or refused(response)
    assert answered(infer.json(model.request()), model)
