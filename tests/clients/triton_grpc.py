"""Triton's gRPC client, blocking and asyncio: raw contents, text, compression, repository."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.clients.checks import Checks, ServedModel, Site, close, equal, raises

checks = Checks()

_KINDS: dict[str, tuple[str, Any]] = {
    "number": ("FP64", np.float64),
    "text": ("BYTES", np.object_),
    "boolean": ("BOOL", np.bool_),
}


def _matrix(model: ServedModel, datatype: str = "FP64") -> list[Any]:
    rows = np.array(model.rows, {"FP64": np.float64, "FP32": np.float32}[datatype])
    tensor = triton.InferInput("input-0", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows)
    return [tensor]


def _columns(model: ServedModel) -> list[Any]:
    tensors = []
    for at, (name, kind) in enumerate(zip(model.features, model.types, strict=True)):
        datatype, dtype = _KINDS[kind]
        values = np.array(model.column(at), dtype).reshape(-1, 1)
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values)
        tensors.append(tensor)
    return tensors


def _wanted() -> list[Any]:
    return [triton.InferRequestedOutput(name) for name in ("predict", "predict_proba")]


def _agrees(result: Any, model: ServedModel, tolerance: float = 0.0) -> None:
    labels = result.as_numpy("predict").ravel().tolist()
    labels = [label.decode() if isinstance(label, bytes) else label for label in labels]
    equal(labels, model.labels)
    close(result.as_numpy("predict_proba").tolist(), model.probabilities, tolerance)
    equal(result.get_response().model_name, model.name)
    equal(result.get_response().model_version, model.version)


@contextmanager
def _client(site: Site) -> Iterator[Any]:
    with triton.InferenceServerClient(site.grpc) as client:
        yield client


@contextmanager
def _refused(code: str) -> Iterator[list[Any]]:
    with raises(InferenceServerException) as caught:
        yield caught
    equal(caught[0].status(), f"StatusCode.{code}")
    assert len(caught[0].message()) > 10, caught[0]


@checks.add
def server_and_models_are_ready(site: Site) -> None:
    with _client(site) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(site.iris.name)
        assert client.is_model_ready(site.mixed.name, site.mixed.version)
        with _refused("NOT_FOUND"):
            client.is_model_ready("no-such-model")


@checks.add
def metadata_and_configuration_describe_the_model(site: Site) -> None:
    with _client(site) as client:
        server = client.get_server_metadata()
        metadata = client.get_model_metadata(site.mixed.name, as_json=True)
        config = client.get_model_config(site.mixed.name, site.mixed.version, as_json=True)
    assert {"model_repository", "model_configuration"} <= set(server.extensions)
    equal(metadata["name"], site.mixed.name)
    equal({tensor["name"] for tensor in metadata["inputs"]}, set(site.mixed.features))
    kinds = {tensor["name"]: tensor["data_type"] for tensor in config["config"]["input"]}
    expected = [
        {"number": "TYPE_FP64", "text": "TYPE_STRING", "boolean": "TYPE_BOOL"}[kind]
        for kind in site.mixed.types
    ]
    equal([kinds[name] for name in site.mixed.features], expected)
    equal(config["config"]["backend"], "sklearn")


@checks.add
def a_matrix_is_answered_as_by_predict(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(
            site.iris.name, _matrix(site.iris), outputs=_wanted(), request_id="seven"
        )
    _agrees(result, site.iris)
    equal(result.get_response().id, "seven")


@checks.add
def a_matrix_of_32_bits_is_answered(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.iris.name, _matrix(site.iris, "FP32"), outputs=_wanted())
    _agrees(result, site.iris, 1e-4)


@checks.add
def columns_of_every_type_are_answered_as_by_predict(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(
            site.mixed.name, _columns(site.mixed), site.mixed.version, outputs=_wanted()
        )
    _agrees(result, site.mixed)


@checks.add
def compressed_requests_are_read(site: Site) -> None:
    with _client(site) as client:
        for algorithm in ("gzip", "deflate"):
            result = client.infer(
                site.iris.name,
                _matrix(site.iris),
                outputs=_wanted(),
                compression_algorithm=algorithm,
            )
            _agrees(result, site.iris)


@checks.add
def parameters_priority_and_timeout_change_nothing(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(
            site.iris.name,
            _matrix(site.iris),
            outputs=_wanted(),
            priority=1,
            timeout=10**6,
            parameters={"a": "b", "c": 1, "d": True},
        )
    _agrees(result, site.iris)


@checks.add
def wrong_requests_are_refused_with_a_sentence(site: Site) -> None:
    narrow = triton.InferInput("input-0", [1, 3], "FP64")
    narrow.set_data_from_numpy(np.ones((1, 3)))
    texts = triton.InferInput("input-0", [1, 4], "BYTES")
    texts.set_data_from_numpy(np.array([["a", "b", "c", "d"]], np.object_))
    shared = triton.InferInput("input-0", [1, 4], "FP64")
    shared.set_shared_memory("region", 32)
    with _client(site) as client:
        for tensor in (narrow, texts, shared):
            with _refused("INVALID_ARGUMENT"):
                client.infer(site.iris.name, [tensor])
        with _refused("INVALID_ARGUMENT"):
            client.infer(
                site.iris.name,
                _matrix(site.iris),
                outputs=[triton.InferRequestedOutput("predict", class_count=2)],
            )


@checks.add
def unknown_models_and_versions_are_not_found(site: Site) -> None:
    with _client(site) as client:
        for name, version in (("no-such-model", ""), (site.iris.name, "999")):
            with _refused("NOT_FOUND"):
                client.infer(name, _matrix(site.iris), version)


@checks.add
def the_repository_lists_loads_and_unloads(site: Site) -> None:
    with _client(site) as client:
        index = client.get_model_repository_index()
        states = {(item.name, item.version): item.state for item in index.models}
        equal(states[site.iris.name, site.iris.version], "READY")
        client.load_model(site.mixed.name)
        client.unload_model(site.iris.name)
        client.load_model(site.iris.name)
        with _refused("FAILED_PRECONDITION"):
            client.unload_model(site.iris.name)
        with _refused("NOT_FOUND"):
            client.load_model("no-such-model")
        with _refused("INVALID_ARGUMENT"):
            client.load_model(site.iris.name, config="{}", files={"file:1/model.py": b"raise"})


@checks.add
def what_the_server_does_not_have_is_unimplemented(site: Site) -> None:
    with _client(site) as client:
        for ask in (
            client.get_inference_statistics,
            client.get_trace_settings,
            client.get_log_settings,
            client.get_system_shared_memory_status,
            client.get_cuda_shared_memory_status,
            lambda: client.register_system_shared_memory("region", "/region", 64),
        ):
            with _refused("UNIMPLEMENTED"):
                ask()


@checks.add
async def the_asyncio_client_is_answered(site: Site) -> None:
    async with triton_aio.InferenceServerClient(site.grpc) as client:
        assert await client.is_server_live()
        assert await client.is_model_ready(site.iris.name)
        result = await client.infer(site.iris.name, _matrix(site.iris), outputs=_wanted())
        _agrees(result, site.iris)
        with _refused("NOT_FOUND"):
            await client.infer("no-such-model", _matrix(site.iris))


checks.leave_out("streams (ModelStreamInfer)", "the service answers single calls")
checks.leave_out("BF16 and FP16 tensors", "no feature is of these datatypes")

if __name__ == "__main__":
    checks.main()
