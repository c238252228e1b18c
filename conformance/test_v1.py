"""KServe's V1 protocol. Needs `--v1`."""

from typing import Any

import httpx
import pytest

from conformance.target import Model, parsed, refused

pytestmark = pytest.mark.usefixtures("v1")


@pytest.fixture
def rows(model: Model) -> list[Any]:
    """Two rows, as lists in the order of the inputs."""
    inputs = model.inputs(2)
    if len(inputs) == 1:
        nested: list[Any] = inputs[0].nested()
        return nested
    return [[tensor.data[row] for tensor in inputs] for row in range(2)]


@pytest.fixture
def records(model: Model) -> list[Any]:
    """Two rows, as objects keyed by the inputs' names."""
    inputs = model.inputs(2)
    return [{tensor.name: tensor.data[row] for tensor in inputs} for row in range(2)]


def _predict(client: httpx.Client, model: Model, body: object) -> httpx.Response:
    return client.post(f"/v1/models/{model.name}:predict", json=body)


def test_models_are_listed(client: httpx.Client, model: Model) -> None:
    response = client.get("/v1/models")

    assert response.status_code == 200
    assert model.name in parsed(response.content)["models"]


def test_the_model_is_ready(client: httpx.Client, model: Model) -> None:
    response = client.get(f"/v1/models/{model.name}")

    assert response.status_code == 200
    body = parsed(response.content)
    assert body["name"] == model.name
    assert body["ready"] in (True, "True")


def test_rows_get_predictions(client: httpx.Client, model: Model, rows: list[Any]) -> None:
    kinds = {tensor.datatype for tensor in model.inputs(2)}
    if len({kind in ("BYTES", "BOOL") or "number" for kind in kinds}) > 1:
        pytest.skip("rows of mixed columns are sent as objects")
    response = _predict(client, model, {"instances": rows})

    assert response.status_code == 200, response.text
    assert len(parsed(response.content)["predictions"]) == 2


def test_objects_get_predictions(client: httpx.Client, model: Model, records: list[Any]) -> None:
    if len(model.inputs(2)) == 1:
        pytest.skip("the model has one input")
    response = _predict(client, model, {"instances": records})

    assert response.status_code == 200, response.text
    assert len(parsed(response.content)["predictions"]) == 2


@pytest.mark.parametrize(
    "body", [{}, [], 7, {"instances": 7}, {"instances": {}}, {"instances": None}]
)
def test_what_has_no_list_of_instances_is_refused(
    client: httpx.Client, model: Model, body: object
) -> None:
    refused(_predict(client, model, body))


def test_text_that_is_no_json_is_refused(client: httpx.Client, model: Model) -> None:
    path, headers = f"/v1/models/{model.name}:predict", {"content-type": "application/json"}

    refused(client.post(path, content=b"{", headers=headers))


def test_an_unknown_model_is_not_found(client: httpx.Client) -> None:
    refused(client.get("/v1/models/no-such-model"))
    refused(client.post("/v1/models/no-such-model:predict", json={"instances": [[1]]}))
