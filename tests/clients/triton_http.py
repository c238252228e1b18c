"""Triton's HTTP client, blocking and asyncio: JSON, bytes both ways, text, gzip, repository."""

from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.clients.checks import Checks, ServedModel, Site, call, close, equal, raises

checks = Checks()

_KINDS: dict[str, tuple[str, Any]] = {
    "number": ("FP64", np.float64),
    "text": ("BYTES", np.object_),
    "boolean": ("BOOL", np.bool_),
}


def _matrix(model: ServedModel, datatype: str = "FP64", binary: bool = True) -> list[Any]:
    dtype = {"FP64": np.float64, "FP32": np.float32}[datatype]
    rows = np.array(model.rows, dtype)
    tensor = triton.InferInput("input-0", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return [tensor]


def _columns(model: ServedModel, binary: bool) -> list[Any]:
    tensors = []
    for at, (name, kind) in enumerate(zip(model.features, model.types, strict=True)):
        datatype, dtype = _KINDS[kind]
        values = np.array(model.column(at), dtype).reshape(-1, 1)
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        tensors.append(tensor)
    return tensors


def _wanted(binary: bool) -> list[Any]:
    return [
        triton.InferRequestedOutput(name, binary_data=binary)
        for name in ("predict", "predict_proba")
    ]


def _labels(result: Any) -> list[Any]:
    labels = result.as_numpy("predict").ravel().tolist()
    return [label.decode() if isinstance(label, bytes) else label for label in labels]


def _agrees(result: Any, model: ServedModel, tolerance: float = 1e-6) -> None:
    equal(_labels(result), model.labels)
    close(result.as_numpy("predict_proba").tolist(), model.probabilities, tolerance)
    equal(result.get_response()["model_name"], model.name)
    equal(result.get_response()["model_version"], model.version)


def _client(site: Site, **options: Any) -> Any:
    return triton.InferenceServerClient(site.address, **options)


@checks.add
def server_and_models_are_ready(site: Site) -> None:
    with _client(site) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(site.iris.name)
        assert client.is_model_ready(site.mixed.name, site.mixed.version)
        assert not client.is_model_ready("no-such-model")
        assert not client.is_model_ready(site.iris.name, "999")


@checks.add
def server_metadata_lists_the_extensions(site: Site) -> None:
    with _client(site) as client:
        extensions = client.get_server_metadata()["extensions"]
    assert {"binary_tensor_data", "model_repository", "model_configuration"} <= set(extensions)


@checks.add
def model_metadata_describes_inputs_and_outputs(site: Site) -> None:
    with _client(site) as client:
        metadata = client.get_model_metadata(site.mixed.name)
    equal(metadata["name"], site.mixed.name)
    equal({tensor["name"] for tensor in metadata["inputs"]}, set(site.mixed.features))
    assert "predict" in {tensor["name"] for tensor in metadata["outputs"]}


@checks.add
def model_config_is_that_of_the_metadata(site: Site) -> None:
    with _client(site) as client:
        config = client.get_model_config(site.mixed.name, site.mixed.version)
    equal(config["name"], site.mixed.name)
    kinds = {tensor["name"]: tensor["data_type"] for tensor in config["input"]}
    expected = [
        {"number": "TYPE_FP64", "text": "TYPE_STRING", "boolean": "TYPE_BOOL"}[kind]
        for kind in site.mixed.types
    ]
    equal([kinds[name] for name in site.mixed.features], expected)


@checks.add
def a_matrix_in_json_is_answered(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(
            site.iris.name, _matrix(site.iris, binary=False), outputs=_wanted(False)
        )
    _agrees(result, site.iris)


@checks.add
def a_matrix_in_bytes_is_answered_in_bytes(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.iris.name, _matrix(site.iris), outputs=_wanted(True))
    _agrees(result, site.iris)
    for output in result.get_response()["outputs"]:
        assert output["parameters"]["binary_data_size"] > 0


@checks.add
def a_matrix_in_bytes_is_answered_in_json(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.iris.name, _matrix(site.iris), outputs=_wanted(False))
    _agrees(result, site.iris)


@checks.add
def a_matrix_of_32_bits_is_answered(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.iris.name, _matrix(site.iris, "FP32"), outputs=_wanted(True))
    _agrees(result, site.iris, 1e-4)


@checks.add
def all_outputs_come_in_bytes_where_none_is_named(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.iris.name, _matrix(site.iris))
    equal(_labels(result), site.iris.labels)
    for output in result.get_response()["outputs"]:
        assert "binary_data_size" in output["parameters"], output


@checks.add
def columns_of_numbers_are_answered(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.iris.name, _columns(site.iris, True), outputs=_wanted(True))
    _agrees(result, site.iris)


@checks.add
def columns_of_text_and_booleans_are_answered_in_bytes(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.mixed.name, _columns(site.mixed, True), outputs=_wanted(True))
    _agrees(result, site.mixed)


@checks.add
def columns_of_text_and_booleans_are_answered_in_json(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.mixed.name, _columns(site.mixed, False), outputs=_wanted(False))
    _agrees(result, site.mixed)


@checks.add
def inputs_in_bytes_and_in_json_are_mixed(site: Site) -> None:
    first, *_ = _columns(site.mixed, False)
    _, *others = _columns(site.mixed, True)
    with _client(site) as client:
        result = client.infer(site.mixed.name, [first, *others], outputs=_wanted(True))
    _agrees(result, site.mixed)


@checks.add
def one_output_is_asked_for(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.iris.name, _matrix(site.iris), outputs=_wanted(True)[:1])
    equal([output["name"] for output in result.get_response()["outputs"]], ["predict"])


@checks.add
def a_request_keeps_its_id(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(site.iris.name, _matrix(site.iris), request_id="42 ü")
    equal(result.get_response()["id"], "42 ü")


@checks.add
def a_version_answers(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(
            site.iris.name, _matrix(site.iris), site.iris.version, outputs=_wanted(True)
        )
    _agrees(result, site.iris)


@checks.add
def many_requests_at_once_are_answered(site: Site) -> None:
    with _client(site, concurrency=4) as client:
        pending = [
            client.async_infer(site.iris.name, _matrix(site.iris), outputs=_wanted(True))
            for _ in range(20)
        ]
        for request in pending:
            _agrees(request.get_result(), site.iris)


@checks.add
def a_compressed_request_is_read(site: Site) -> None:
    with _client(site) as client:
        for binary in (True, False):
            result = client.infer(
                site.iris.name,
                _matrix(site.iris, binary=binary),
                outputs=_wanted(binary),
                request_compression_algorithm="gzip",
            )
            _agrees(result, site.iris)


@checks.add
def a_compressed_reply_can_be_asked_for(site: Site) -> None:
    with _client(site) as client:
        for algorithm in ("gzip", "deflate"):
            result = client.infer(
                site.iris.name,
                _matrix(site.iris),
                outputs=_wanted(True),
                response_compression_algorithm=algorithm,
            )
            _agrees(result, site.iris)


@checks.add
def another_compression_is_refused(site: Site) -> None:
    with _client(site) as client, raises(InferenceServerException) as caught:
        client.infer(site.iris.name, _matrix(site.iris), request_compression_algorithm="deflate")
    equal(caught[0].status(), "415")


@checks.add
def a_wrong_width_is_refused_with_a_sentence(site: Site) -> None:
    tensor = triton.InferInput("input-0", [1, 3], "FP64")
    tensor.set_data_from_numpy(np.ones((1, 3)))
    with _client(site) as client, raises(InferenceServerException) as caught:
        client.infer(site.iris.name, [tensor])
    equal(caught[0].status(), "400")
    assert len(caught[0].message()) > 20


@checks.add
def a_wrong_datatype_is_refused(site: Site) -> None:
    tensor = triton.InferInput("input-0", [1, 4], "BYTES")
    tensor.set_data_from_numpy(np.array([["a", "b", "c", "d"]], np.object_))
    with _client(site) as client, raises(InferenceServerException) as caught:
        client.infer(site.iris.name, [tensor])
    equal(caught[0].status(), "400")


@checks.add
def unknown_models_versions_and_outputs_are_refused(site: Site) -> None:
    with _client(site) as client:
        for name, version, output, status in (
            ("no-such-model", "", "predict", "404"),
            (site.iris.name, "999", "predict", "404"),
            (site.iris.name, "", "no such output", "400"),
        ):
            with raises(InferenceServerException) as caught:
                client.infer(
                    name,
                    _matrix(site.iris),
                    version,
                    outputs=[triton.InferRequestedOutput(output)],
                )
            equal(caught[0].status(), status)


@checks.add
def priority_and_timeout_of_a_request_change_nothing(site: Site) -> None:
    with _client(site) as client:
        result = client.infer(
            site.iris.name, _matrix(site.iris), outputs=_wanted(True), priority=1, timeout=10**6
        )
    _agrees(result, site.iris)


@checks.add
def the_repository_lists_every_version(site: Site) -> None:
    with _client(site) as client:
        index = client.get_model_repository_index()
    listed = {(item["name"], item["version"]): item["state"] for item in index}
    equal(listed[site.iris.name, site.iris.version], "READY")
    assert (site.mixed.name, site.mixed.version) in listed


@checks.add
def a_loaded_model_is_in_use(site: Site) -> None:
    with _client(site) as client:
        client.load_model(site.mixed.name)
        assert client.is_model_ready(site.mixed.name)
        client.load_model(site.iris.name)
        result = client.infer(site.iris.name, _matrix(site.iris), outputs=_wanted(True))
    _agrees(result, site.iris)


@checks.add
def the_model_in_use_is_not_unloaded(site: Site) -> None:
    with _client(site) as client, raises(InferenceServerException) as caught:
        client.unload_model(site.iris.name)
    equal(caught[0].status(), "409")


@checks.add
def another_model_is_unloaded_and_answers_again(site: Site) -> None:
    with _client(site) as client:
        client.infer(site.mixed.name, _columns(site.mixed, True))
        client.unload_model(site.mixed.name)
        result = client.infer(site.mixed.name, _columns(site.mixed, True), outputs=_wanted(True))
    _agrees(result, site.mixed)


@checks.add
def files_are_not_loaded(site: Site) -> None:
    with _client(site) as client, raises(InferenceServerException) as caught:
        client.load_model(
            site.iris.name,
            config="{}",
            files={"file:1/model.py": b"raise SystemExit"},
        )
    equal(caught[0].status(), "400")


@checks.add
def an_unknown_model_is_not_loaded(site: Site) -> None:
    with _client(site) as client, raises(InferenceServerException) as caught:
        client.load_model("no-such-model")
    equal(caught[0].status(), "404")


@checks.add
def shared_memory_is_refused(site: Site) -> None:
    with _client(site) as client:
        for ask in (
            client.get_system_shared_memory_status,
            client.get_cuda_shared_memory_status,
            lambda: client.register_system_shared_memory("region", "/region", 64),
            client.unregister_system_shared_memory,
            lambda: client.register_cuda_shared_memory("region", b"handle", 0, 64),
            client.unregister_cuda_shared_memory,
        ):
            with raises(InferenceServerException) as caught:
                ask()
            assert caught[0].status().startswith("4"), caught[0].status()


@checks.add
def tensors_in_shared_memory_are_refused(site: Site) -> None:
    tensor = triton.InferInput("input-0", [1, 4], "FP64")
    tensor.set_shared_memory("region", 32)
    output = triton.InferRequestedOutput("predict")
    output.set_shared_memory("region", 32)
    with _client(site) as client:
        for inputs, outputs in (([tensor], None), (_matrix(site.iris), [output])):
            with raises(InferenceServerException) as caught:
                client.infer(site.iris.name, inputs, outputs=outputs)
            assert caught[0].status().startswith("4"), caught[0].status()


@checks.add
def what_the_server_does_not_list_is_refused(site: Site) -> None:
    with _client(site) as client:
        for ask in (
            client.get_inference_statistics,
            lambda: client.get_inference_statistics(site.iris.name),
            client.get_trace_settings,
            client.get_log_settings,
        ):
            with raises(InferenceServerException) as caught:
                ask()
            assert caught[0].status().startswith("4"), caught[0].status()


@checks.add
def a_body_made_without_a_connection_is_answered(site: Site) -> None:
    body, length = triton.InferenceServerClient.generate_request_body(
        _matrix(site.iris), outputs=_wanted(True)
    )
    with _client(site) as client:
        expected = client.infer(site.iris.name, _matrix(site.iris), outputs=_wanted(True))
    answer = call(
        f"{site.url}/v2/models/{site.iris.name}/infer",
        bytes(body),
        content_type="application/octet-stream",
        inference_header_content_length=str(length),
    )
    result = triton.InferenceServerClient.parse_response_body(
        answer.content, header_length=int(answer.headers["inference-header-content-length"])
    )
    equal(_labels(result), _labels(expected))


@checks.add
async def the_asyncio_client_is_answered(site: Site) -> None:
    async with triton_aio.InferenceServerClient(site.address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready(site.iris.name)
        for binary in (True, False):
            result = await client.infer(
                site.iris.name, _matrix(site.iris, binary=binary), outputs=_wanted(binary)
            )
            _agrees(result, site.iris)


@checks.add
async def the_asyncio_client_sends_text_and_gzip(site: Site) -> None:
    async with triton_aio.InferenceServerClient(site.address) as client:
        result = await client.infer(
            site.mixed.name,
            _columns(site.mixed, True),
            outputs=_wanted(True),
            request_compression_algorithm="gzip",
            response_compression_algorithm="gzip",
        )
    _agrees(result, site.mixed)


@checks.add
async def the_asyncio_client_reads_the_repository_and_errors(site: Site) -> None:
    async with triton_aio.InferenceServerClient(site.address) as client:
        index = await client.get_model_repository_index()
        assert site.iris.name in {item["name"] for item in index}
        await client.load_model(site.iris.name)
        with raises(InferenceServerException) as caught:
            await client.infer("no-such-model", _matrix(site.iris))
    equal(caught[0].status(), "404")


checks.leave_out(
    "classes of an output (class_count)", "an extension that the service does not list"
)
checks.leave_out(
    "sequences of requests (sequence_id)", "an extension that the service does not list"
)
checks.leave_out("BF16 and FP16 tensors", "no feature is of these datatypes")

if __name__ == "__main__":
    checks.main()
