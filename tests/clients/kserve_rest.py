"""KServe's InferenceRESTClient: the Open Inference Protocol in JSON and bytes, and V1."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

from tests.clients.checks import Checks, ServedModel, Site, close, equal, raises

checks = Checks()

_KINDS: dict[str, tuple[str, Any]] = {
    "number": ("FP64", np.float64),
    "text": ("BYTES", np.object_),
    "boolean": ("BOOL", np.bool_),
}


@asynccontextmanager
async def _client(protocol: str) -> AsyncIterator[Any]:
    client = InferenceRESTClient(RESTConfig(protocol=protocol, retries=0))
    try:
        yield client
    finally:
        await client.close()


def _matrix(model: ServedModel, binary: bool) -> list[Any]:
    rows = np.array(model.rows, np.float64)
    tensor = InferInput("input-0", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return [tensor]


def _columns(model: ServedModel, binary: bool) -> list[Any]:
    tensors = []
    for at, (name, kind) in enumerate(zip(model.features, model.types, strict=True)):
        datatype, dtype = _KINDS[kind]
        values = np.array(model.column(at), dtype).reshape(-1, 1)
        tensor = InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        tensors.append(tensor)
    return tensors


def _request(model: ServedModel, inputs: list[Any], binary: bool, **more: Any) -> Any:
    outputs = [
        RequestedOutput(name, {"binary_data": binary}) for name in ("predict", "predict_proba")
    ]
    return InferRequest(model.name, inputs, request_outputs=outputs, **more)


def _agrees(response: Any, model: ServedModel) -> None:
    equal(response.model_name, model.name)
    labels = response.get_output_by_name("predict").as_numpy().ravel().tolist()
    labels = [label.decode() if isinstance(label, bytes) else label for label in labels]
    equal(labels, model.labels)
    shares = response.get_output_by_name("predict_proba").as_numpy().tolist()
    close(shares, model.probabilities)


@checks.add
async def server_and_models_are_ready(site: Site) -> None:
    async with _client("v2") as client:
        equal(await client.is_server_live(site.url), True)
        equal(await client.is_server_ready(site.url), True)
        equal(await client.is_model_ready(site.url, site.iris.name), True)
        equal(await client.is_model_ready(site.url, "no-such-model"), False)


@checks.add
async def a_matrix_in_json_is_answered(site: Site) -> None:
    async with _client("v2") as client:
        request = _request(site.iris, _matrix(site.iris, False), False)
        _agrees(await client.infer(site.url, request, site.iris.name), site.iris)


@checks.add
async def a_matrix_in_bytes_is_answered_in_bytes(site: Site) -> None:
    headers: dict[str, str] = {}
    async with _client("v2") as client:
        request = _request(site.iris, _matrix(site.iris, True), True)
        response = await client.infer(site.url, request, site.iris.name, response_headers=headers)
    _agrees(response, site.iris)
    assert "inference-header-content-length" in headers


@checks.add
async def columns_of_text_and_booleans_are_answered(site: Site) -> None:
    async with _client("v2") as client:
        for binary in (True, False):
            request = _request(site.mixed, _columns(site.mixed, binary), binary)
            _agrees(await client.infer(site.url, request, site.mixed.name), site.mixed)


@checks.add
async def a_request_keeps_its_id(site: Site) -> None:
    async with _client("v2") as client:
        request = _request(site.iris, _matrix(site.iris, False), False, request_id="42")
        response = await client.infer(site.url, request, site.iris.name)
    equal(response.id, "42")


@checks.add
async def parameters_of_a_request_ask_for_bytes(site: Site) -> None:
    headers: dict[str, str] = {}
    async with _client("v2") as client:
        request = InferRequest(
            site.iris.name,
            _matrix(site.iris, True),
            parameters={"binary_data_output": True},
        )
        await client.infer(site.url, request, site.iris.name, response_headers=headers)
    assert "inference-header-content-length" in headers


@checks.add
async def a_plain_dict_is_answered(site: Site) -> None:
    data = {
        "inputs": [
            {
                "name": "input-0",
                "shape": [len(site.iris.rows), len(site.iris.features)],
                "datatype": "FP64",
                "data": site.iris.rows,
            }
        ],
        "outputs": [{"name": "predict"}, {"name": "predict_proba"}],
    }
    async with _client("v2") as client:
        _agrees(await client.infer(site.url, data, site.iris.name), site.iris)


@checks.add
async def errors_carry_the_sentence_of_the_service(site: Site) -> None:
    tensor = InferInput("input-0", [1, 3], "FP64")
    tensor.set_data_from_numpy(np.ones((1, 3)), binary_data=False)
    async with _client("v2") as client:
        for name, status in ((site.iris.name, 400), ("no-such-model", 404)):
            with raises(httpx.HTTPStatusError) as caught:
                await client.infer(site.url, InferRequest(name, [tensor]), name)
            equal(caught[0].response.status_code, status)
            assert caught[0].response.json()["error"] in str(caught[0])


@checks.add
async def v1_tells_that_a_model_is_ready(site: Site) -> None:
    async with _client("v1") as client:
        equal(await client.is_model_ready(site.url, site.iris.name), True)
        with raises(httpx.HTTPStatusError) as caught:
            await client.is_model_ready(site.url, "no-such-model")
    equal(caught[0].response.status_code, 404)


@checks.add
async def v1_answers_rows_and_objects(site: Site) -> None:
    async with _client("v1") as client:
        rows = await client.infer(site.url, {"instances": site.iris.rows}, site.iris.name)
        equal(rows["predictions"], site.iris.labels)
        data = {"instances": site.mixed.records()}
        objects = await client.infer(site.url, data, site.mixed.name)
        equal(objects["predictions"], site.mixed.labels)


@checks.add
async def v1_errors_carry_the_sentence_of_the_service(site: Site) -> None:
    async with _client("v1") as client:
        with raises(httpx.HTTPStatusError) as caught:
            await client.infer(site.url, {"instances": [[1.0]]}, site.iris.name)
    equal(caught[0].response.status_code, 400)
    assert caught[0].response.json()["error"] in str(caught[0])


checks.leave_out(
    "is_server_live of V1", 'it wants {"status": "alive"} at the service\'s front page'
)
checks.leave_out("model_version of a reply", "the client does not read it from JSON")
checks.leave_out("explain", "the service has no explainers")
checks.leave_out("inference graphs", "they are resources of a cluster with KServe")

if __name__ == "__main__":
    checks.main()
