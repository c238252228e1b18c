"""The model configuration extension."""

from typing import Any

import httpx
import pytest

from conformance.target import Infer, Model, parsed, refused

pytestmark = pytest.mark.usefixtures("configuration")


@pytest.fixture
def config(client: httpx.Client, infer: Infer) -> Any:
    response = client.get(f"{infer.path()}/config")
    assert response.status_code == 200, response.text
    return parsed(response.content)


def test_the_configuration_is_that_of_the_model(config: Any, model: Model) -> None:
    assert config["name"] == model.name
    assert config.get("platform") or config.get("backend")


def test_the_largest_batch_is_a_number(config: Any) -> None:
    assert isinstance(config.get("max_batch_size", 0), int)
    assert config.get("max_batch_size", 0) >= 0


@pytest.mark.parametrize(("key", "described"), [("input", "inputs"), ("output", "outputs")])
def test_tensors_are_those_of_the_metadata(
    config: Any, model: Model, key: str, described: str
) -> None:
    expected = {
        tensor["name"]: f"TYPE_{tensor['datatype']}".replace("TYPE_BYTES", "TYPE_STRING")
        for tensor in model.metadata[described]
    }

    assert {tensor["name"]: tensor["data_type"] for tensor in config[key]} == expected
    for tensor in config[key]:
        assert all(isinstance(int(size), int) and int(size) >= -1 for size in tensor["dims"])


def test_the_configuration_of_a_version_is_there(
    client: httpx.Client, infer: Infer, model: Model, version: str
) -> None:
    response = client.get(f"{infer.path(version)}/config")

    assert response.status_code == 200
    assert parsed(response.content)["name"] == model.name


def test_an_unknown_model_has_no_configuration(client: httpx.Client) -> None:
    refused(client.get("/v2/models/no-such-model/config"))
