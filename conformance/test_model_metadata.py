"""`GET /v2/models/{model}`."""

import httpx
import pytest

from conformance.target import Infer, Model, answered, refused
from conformance.tensors import DATATYPES


def test_the_model_has_its_name(model: Model) -> None:
    assert model.metadata["name"] == model.name


def test_the_model_has_a_platform(model: Model) -> None:
    assert isinstance(model.metadata["platform"], str)


def test_versions_are_texts(model: Model) -> None:
    versions = model.metadata.get("versions")
    if versions is None:
        pytest.skip("the model lists no versions, which are optional")
    assert all(isinstance(version, str) and version for version in versions)


@pytest.mark.parametrize("key", ["inputs", "outputs"])
def test_tensors_have_name_datatype_and_shape(model: Model, key: str) -> None:
    tensors = model.metadata[key]
    assert tensors, f"the model describes no {key}"
    for tensor in tensors:
        assert isinstance(tensor["name"], str)
        assert tensor["datatype"] in DATATYPES
        assert all(isinstance(size, int) and size >= -1 for size in tensor["shape"])
    assert len({tensor["name"] for tensor in tensors}) == len(tensors)


@pytest.mark.parametrize("rows", [1, 3])
def test_outputs_are_what_the_metadata_says(infer: Infer, model: Model, rows: int) -> None:
    described = {output["name"]: output for output in model.metadata["outputs"]}
    sent = [tensor.as_json() for tensor in model.inputs(rows)]

    for name, (datatype, shape, _) in answered(infer.json(model.request(sent)), model).items():
        assert name in described
        assert datatype == described[name]["datatype"]
        assert len(shape) == len(described[name]["shape"])
        for size, expected in zip(shape, described[name]["shape"], strict=True):
            assert expected in (-1, size)


def test_an_unknown_model_is_refused(client: httpx.Client) -> None:
    refused(client.get("/v2/models/no-such-model"))


def test_a_name_of_strange_characters_is_refused(client: httpx.Client) -> None:
    response = client.get("/v2/models/%00%ff")

    assert 400 <= response.status_code < 500
