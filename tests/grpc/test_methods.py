"""The other methods: about the server, its models and the repository; and health."""

from typing import Any

import pytest

from service import __version__
from service.grpc.messages import message
from tests.api.inference.test_infer import TENSOR
from tests.grpc.conftest import Both
from tests.support.grpc_client import HEALTH, SERVICE, GrpcClient, infer_request


def request(method: str, **fields: Any) -> Any:
    return message(f"{method}Request")(**fields)


def call(client: GrpcClient, method: str, **fields: Any) -> Any:
    return client.call(method, request(method, **fields)).message


def test_the_server_is_live_and_ready_and_says_what_it_is(both: Both) -> None:
    shown = call(both.grpc, "ServerMetadata")

    assert call(both.grpc, "ServerLive").live
    assert call(both.grpc, "ServerReady").ready
    rest = both.rest.get("/v2").json()
    assert (shown.name, shown.version) == (rest["name"], __version__)
    assert list(shown.extensions) == rest["extensions"]


@pytest.mark.parametrize("model", ["iris", "mixed"])
def test_metadata_is_that_of_rest(both: Both, model: str) -> None:
    shown = call(both.grpc, "ModelMetadata", name=model)
    rest = both.rest.get(f"/v2/models/{model}").json()

    assert (shown.name, shown.platform) == (model, rest["platform"])
    assert list(shown.versions) == rest["versions"]
    for tensors, wanted in ((shown.inputs, rest["inputs"]), (shown.outputs, rest["outputs"])):
        assert [_as_json(tensor) for tensor in tensors] == wanted


def _as_json(tensor: Any) -> dict[str, Any]:
    shown = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    parameters = {entry.key: entry.value.string_param for entry in tensor.parameters}
    return {**shown, **({"parameters": parameters} if parameters else {})}


def test_the_configuration_is_that_of_rest_with_numbers_for_datatypes(both: Both) -> None:
    config = call(both.grpc, "ModelConfig", name="mixed", version="1").config
    rest = both.rest.get("/v2/models/mixed/config").json()

    assert (config.name, config.platform, config.backend) == ("mixed", "sklearn", "sklearn")
    assert config.version_policy.latest.num_versions == 1
    assert [(one.name, one.data_type) for one in config.input] == [
        ("age", 12),
        ("city", 13),
        ("vip", 1),
    ]
    assert [list(one.dims) for one in config.output] == [one["dims"] for one in rest["output"]]
    assert [one.data_type for one in config.output] == [9, 12]


def test_a_model_and_a_version_are_ready_where_they_can_answer(both: Both) -> None:
    assert call(both.grpc, "ModelReady", name="iris").ready
    assert call(both.grpc, "ModelReady", name="mixed", version="1").ready


def test_what_there_is_not_is_not_found_by_any_method(both: Both) -> None:
    for method in ("ModelReady", "ModelMetadata", "ModelConfig"):
        for fields in ({"name": "nobody"}, {"name": "iris", "version": "99"}, {}):
            assert both.grpc.fail(method, request(method, **fields)).code == "NOT_FOUND"
    for method in ("RepositoryModelLoad", "RepositoryModelUnload"):
        refused = both.grpc.fail(method, request(method, model_name="nobody"))
        assert (refused.code, refused.details) == ("NOT_FOUND", "There is no model 'nobody'.")


def test_the_index_lists_every_version(both: Both) -> None:
    for ready in (False, True):
        index = call(both.grpc, "RepositoryIndex", ready=ready)
        rest = both.rest.post("/v2/repository/index", json={"ready": ready}).json()

        assert [
            {"name": one.name, "version": one.version, "state": one.state, "reason": one.reason}
            for one in index.models
        ] == rest


@pytest.mark.parametrize("field", ["model_name", "repository_name"], ids=["Triton", "KServe"])
def test_a_model_that_is_loaded_is_in_use_and_the_one_before_can_be_unloaded(
    both: Both, field: str
) -> None:
    loaded = call(both.grpc, "RepositoryModelLoad", **{field: "mixed"})

    assert (loaded.model_name, loaded.isLoaded) == ("mixed", True)
    assert both.rest.get("/use-model").json()["name"] == "mixed"
    refused = both.grpc.fail(
        "RepositoryModelUnload", request("RepositoryModelUnload", **{field: "mixed"})
    )
    assert (refused.code, "is in use" in refused.details) == ("FAILED_PRECONDITION", True)
    assert call(both.grpc, "RepositoryModelUnload", **{field: "iris"}).isUnloaded

    again = request("RepositoryModelLoad", model_name="iris")
    again.parameters.add(key="version").value.string_param = "1"
    both.grpc.call("RepositoryModelLoad", again)
    assert both.rest.get("/use-model").json()["name"] == "iris"


def test_files_and_configurations_of_models_are_not_taken(both: Both) -> None:
    for name in ("config", "file:1/model.onnx", "unload_dependents"):
        wanted = request("RepositoryModelLoad", model_name="iris")
        wanted.parameters.add(key=name).value.bytes_param = b"{}"

        refused = both.grpc.fail("RepositoryModelLoad", wanted)

        assert refused.code == "INVALID_ARGUMENT"
        assert f"'{name}' is not a parameter here" in refused.details
    wanted = request("RepositoryModelLoad", model_name="iris")
    wanted.parameters.add(key="version").value.bytes_param = b"1"
    assert both.grpc.fail("RepositoryModelLoad", wanted).code == "INVALID_ARGUMENT"


def test_health_is_checked_as_probes_do(both: Both) -> None:
    for service in ("", SERVICE):
        assert both.grpc.check(service).message.status == 1
    asked = message("HealthCheckRequest")(service="x")
    unknown = both.grpc.fail("Check", asked, reply="HealthCheckResponse", service=HEALTH)
    assert (unknown.code, unknown.details) == ("NOT_FOUND", "There is no service 'x'.")


@pytest.mark.parametrize("method", ["ModelStreamInfer", "ModelStatistics", "Nothing"])
def test_other_methods_are_unimplemented(both: Both, method: str) -> None:
    refused = both.grpc.fail(
        method, infer_request({"inputs": [TENSOR]}), reply="ServerLiveResponse"
    )

    assert refused.code == "UNIMPLEMENTED"


def test_mlflow_being_away_is_unavailable_and_predictions_go_on(both: Both) -> None:
    both.registry.down = True
    try:
        wanted = request("RepositoryModelLoad", model_name="iris")
        assert both.grpc.fail("RepositoryModelLoad", wanted).code == "UNAVAILABLE"
        both.grpc.call("ModelInfer", infer_request({"inputs": [TENSOR]}))
    finally:
        both.registry.down = False
