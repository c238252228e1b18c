"""KServe's InferenceGRPCClient: typed and raw contents, readiness, errors; and its stubs' load."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.infer_type import RequestedOutput

from tests.clients.checks import Checks, ServedModel, Site, close, equal, raises

checks = Checks()

_KINDS: dict[str, tuple[str, Any]] = {
    "number": ("FP64", np.float64),
    "text": ("BYTES", np.object_),
    "boolean": ("BOOL", np.bool_),
}


@asynccontextmanager
async def _client(site: Site) -> AsyncIterator[Any]:
    async with InferenceGRPCClient(site.grpc, retries=0) as client:
        yield client


def _matrix(model: ServedModel, raw: bool) -> list[Any]:
    rows = np.array(model.rows, np.float64)
    tensor = InferInput("input-0", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, binary_data=raw)
    return [tensor]


def _columns(model: ServedModel, raw: bool) -> list[Any]:
    tensors = []
    for at, (name, kind) in enumerate(zip(model.features, model.types, strict=True)):
        datatype, dtype = _KINDS[kind]
        values = np.array(model.column(at), dtype).reshape(-1, 1)
        tensor = InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=raw)
        tensors.append(tensor)
    return tensors


def _request(model: ServedModel, inputs: list[Any], **more: Any) -> Any:
    outputs = [RequestedOutput(name) for name in ("predict", "predict_proba")]
    return InferRequest(model.name, inputs, request_outputs=outputs, **more)


def _agrees(response: Any, model: ServedModel) -> None:
    equal(response.model_name, model.name)
    equal(response.model_version, model.version)
    labels = response.get_output_by_name("predict").as_numpy().ravel().tolist()
    labels = [label.decode() if isinstance(label, bytes) else label for label in labels]
    equal(labels, model.labels)
    chances = response.get_output_by_name("predict_proba").as_numpy().tolist()
    close(chances, model.probabilities, 0.0)


@contextmanager
def _refused(code: grpc.StatusCode) -> Iterator[None]:
    with raises(grpc.RpcError) as caught:
        yield
    equal(caught[0].code(), code)
    assert len(caught[0].details()) > 10, caught[0]


@checks.add
async def server_and_models_are_ready(site: Site) -> None:
    async with _client(site) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready(site.iris.name)
        with _refused(grpc.StatusCode.NOT_FOUND):
            await client.is_model_ready("no-such-model")


@checks.add
async def a_matrix_is_answered_as_by_predict(site: Site) -> None:
    async with _client(site) as client:
        for raw in (True, False):
            request = _request(site.iris, _matrix(site.iris, raw), request_id="seven")
            response = await client.infer(request)
            _agrees(response, site.iris)
            equal(response.id, "seven")


@checks.add
async def columns_of_every_type_are_answered_as_by_predict(site: Site) -> None:
    async with _client(site) as client:
        for raw in (True, False):
            _agrees(await client.infer(_request(site.mixed, _columns(site.mixed, raw))), site.mixed)


@checks.add
async def wrong_requests_are_refused_with_a_sentence(site: Site) -> None:
    narrow = InferInput("input-0", [1, 3], "FP64")
    narrow.set_data_from_numpy(np.ones((1, 3)), binary_data=False)
    async with _client(site) as client:
        with _refused(grpc.StatusCode.INVALID_ARGUMENT):
            await client.infer(_request(site.iris, [narrow]))
        with _refused(grpc.StatusCode.NOT_FOUND):
            await client.infer(InferRequest("no-such-model", _matrix(site.iris, True)))


@checks.add
def a_model_is_loaded_and_unloaded_by_its_stubs(site: Site) -> None:
    with grpc.insecure_channel(site.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        for model in (site.mixed, site.iris):
            request = messages.RepositoryModelLoadRequest(model_name=model.name)
            reply = stub.RepositoryModelLoad(request, timeout=30)
            equal((reply.model_name, reply.isLoaded), (model.name, True))
        request = messages.RepositoryModelUnloadRequest(model_name=site.mixed.name)
        reply = stub.RepositoryModelUnload(request, timeout=30)
        equal((reply.model_name, reply.isUnloaded), (site.mixed.name, True))


if __name__ == "__main__":
    checks.main()
