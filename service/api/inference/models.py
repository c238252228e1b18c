"""The Open Inference Protocol about the server and its models; and inference as OpenAPI has it."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.convertors import Convertor, register_url_convertor

from service import __version__
from service.api.answering import only_described
from service.api.health import check_ready
from service.api.inference.codec import PLATFORM, InferenceCodec
from service.api.inference.infer import INFER, INFER_BY_VERSION, PREDICT_V1
from service.api.inference.request_schema import INFER_REQUEST
from service.api.inference.schemas import (
    ConfigReply,
    ConfigTensor,
    ErrorReply,
    InferReply,
    LiveReply,
    ModelReadyReply,
    ModelReply,
    NamesReply,
    ServerReadyReply,
    ServerReply,
    V1Reply,
)
from service.api.services import Services, services_of
from service.common.domain import Version
from service.common.errors import ModelNotFound, NotReady, RegistryUnavailable
from service.serving.served_model import ServedModel


class _NameInV1(Convertor[str]):
    """The name of a model before the colon of V1's verbs."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        """Return the name."""
        return value

    def to_string(self, value: str) -> str:
        """Return the name."""
        return value


register_url_convertor("v1", _NameInV1())

router = APIRouter(tags=["inference"], responses={"default": {"model": ErrorReply}})

SERVER = "mlops-desafio"
EXTENSIONS = ("binary_tensor_data", "model_repository", "model_configuration")

_ERROR = {"model": ErrorReply}
_MOST = 1000
"""The versions of a model that its metadata lists, and the models that are listed."""

_EXAMPLE = {
    "inputs": [
        {"name": "input-0", "shape": [1, 4], "datatype": "FP64", "data": [5.8, 3.0, 4.3, 1.3]}
    ],
    "outputs": [{"name": "predict"}, {"name": "predict_proba"}],
}
_BY_EXAMPLE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": INFER_REQUEST, "example": _EXAMPLE},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get("/v2", summary="The server and the extensions that it speaks")
async def server() -> ServerReply:
    """Return name, version and extensions."""
    return ServerReply(name=SERVER, version=__version__, extensions=list(EXTENSIONS))


@router.get("/v2/health/live", summary="Liveness of the server")
async def live() -> LiveReply:
    """Return at once, as `GET /healthz`."""
    return LiveReply(live=True)


@router.get("/v2/health/ready", summary="Readiness of the server", responses={503: _ERROR})
async def ready(request: Request) -> ServerReadyReply:
    """Return what `GET /readyz` does."""
    check_ready(services_of(request))
    return ServerReadyReply(ready=True)


@router.get("/v2/models", summary="The names of all models", responses={503: _ERROR})
@router.get(
    "/v1/models", name="names_v1", summary="The names of all models (V1)", responses={503: _ERROR}
)
async def names(request: Request) -> NamesReply:
    """Return them in alphabetical order."""
    versions = await listed(services_of(request), None)
    return NamesReply(models=sorted({version.name for version in versions}))


async def listed(services: Services, name: str | None) -> list[Version]:
    """Return the newest versions, as they were last seen where MLflow is away."""
    try:
        page = await services.ask(services.version_list.page, name, _MOST, None)
    except RegistryUnavailable:
        page = services.version_list.last_seen(name, _MOST, None)
    return list(page.page.items)


async def find(services: Services, name: str, version: str | None = None) -> ServedModel:
    """Return a version, or the one that answers for a model; raises like `Answering.find`."""
    served = await services.answering.find(name, version)
    assert served is not None
    return served


_OF_MODEL: dict[str, Any] = {"responses": {404: _ERROR, 409: _ERROR, 503: _ERROR}}
_READY: dict[str, Any] = {"responses": {404: _ERROR, 503: _ERROR}}
_SHOWN: dict[str, Any] = {**_OF_MODEL, "response_model_exclude_none": True}


@router.get("/v2/models/{name}", summary="Inputs and outputs of a model", **_SHOWN)
async def model(request: Request, name: str) -> ModelReply:
    """Return those of the version in use, or of the newest one that can be served."""
    return await metadata(services_of(request), name)


@router.get(
    "/v2/models/{name}/versions/{version}", summary="Inputs and outputs of a version", **_SHOWN
)
async def model_version(request: Request, name: str, version: str) -> ModelReply:
    """Return those of this version."""
    return await metadata(services_of(request), name, version)


async def metadata(services: Services, name: str, version: str | None = None) -> ModelReply:
    """Return the metadata of a version, or of the one that answers for a model."""
    served = await find(services, name, version)
    shown = served.codec(InferenceCodec).metadata()
    versions = await listed(services, shown["name"])
    numbers = sorted(version.version for version in versions)
    return ModelReply(**shown, versions=list(map(str, numbers)))


@router.get("/v2/models/{name}/ready", summary="Readiness of a model", **_READY)
@router.get(
    "/v1/models/{name:v1}", name="model_ready_v1", summary="Readiness of a model (V1)", **_READY
)
async def model_ready(request: Request, name: str) -> ModelReadyReply:
    """Return 200 where the version in use, or else the newest that can be served, can answer."""
    await check_model_ready(services_of(request), name)
    return ModelReadyReply(name=name, ready=True)


async def check_model_ready(services: Services, name: str, version: str | None = None) -> None:
    """Raise NotReady where a version, or the one that answers for a model, cannot answer.

    Raises like `Answering.find`, too. A version is loaded for that.
    """
    if version is not None:
        served = await find(services, name, version)
        if not served.predictor.classifier.ready:
            raise NotReady("The process of this version is being started again.")
        return
    in_use = services.answering.in_use()
    if in_use is not None and in_use.loaded.name == name:
        if not in_use.predictor.classifier.ready:
            raise NotReady(f"The process of model '{name}' is being started again.")
        return
    services.answering.check_in_use()
    versions = await listed(services, name)
    if not versions:
        raise ModelNotFound(name)
    if not any(services.version_list.verdict(version)[0] for version in versions):
        raise NotReady("No version of this model can be served.")


@router.get(
    "/v2/models/{name}/versions/{version}/ready", summary="Readiness of a version", **_OF_MODEL
)
async def version_ready(request: Request, name: str, version: str) -> ModelReadyReply:
    """Return 200 where this version can answer; it is loaded for that."""
    await check_model_ready(services_of(request), name, version)
    return ModelReadyReply(name=name, ready=True)


@router.get("/v2/models/{name}/config", summary="The configuration of a model", **_OF_MODEL)
async def config(request: Request, name: str) -> ConfigReply:
    """Return it as perf_analyzer asks for it."""
    return configuration(await find(services_of(request), name))


@router.get(
    "/v2/models/{name}/versions/{version}/config",
    summary="The configuration of a version",
    **_OF_MODEL,
)
async def version_config(request: Request, name: str, version: str) -> ConfigReply:
    """Return that of this version."""
    return configuration(await find(services_of(request), name, version))


def configuration(served: ServedModel) -> ConfigReply:
    """Return the configuration of a version."""
    shown = served.codec(InferenceCodec).metadata()
    return ConfigReply(
        name=shown["name"],
        platform=PLATFORM,
        backend=PLATFORM,
        max_batch_size=0,
        input=[_tensor(tensor) for tensor in shown["inputs"]],
        output=[_tensor(tensor) for tensor in shown["outputs"]],
        version_policy={"latest": {"num_versions": 1}},
    )


def _tensor(tensor: dict[str, Any]) -> ConfigTensor:
    kind = "STRING" if tensor["datatype"] == "BYTES" else tensor["datatype"]
    return ConfigTensor(name=tensor["name"], data_type=f"TYPE_{kind}", dims=tensor["shape"])


_ANSWERS: dict[str, Any] = {
    "responses": dict.fromkeys((400, 404, 409, 413, 415, 503), _ERROR),
    "openapi_extra": _BY_EXAMPLE,
    "response_model": InferReply,
}


@router.post(INFER, summary="Classify rows with a model", **_ANSWERS)
async def infer(name: str) -> Response:  # noqa: ARG001
    """Classify with the version in use, or else the newest one that can be served."""
    only_described()


@router.post(INFER_BY_VERSION, summary="Classify rows with a version", **_ANSWERS)
async def infer_by_version(name: str, version: str) -> Response:  # noqa: ARG001
    """Classify with this version."""
    only_described()


@router.post(
    PREDICT_V1.replace("{name}", "{name:v1}"),
    summary="Classify instances with a model (V1)",
    responses=_ANSWERS["responses"],
    response_model=V1Reply,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/PredictRequest"},
                    "example": {"instances": [[5.8, 3.0, 4.3, 1.3]]},
                }
            },
        }
    },
)
async def predict_v1(name: str) -> Response:  # noqa: ARG001
    """Classify as `POST /predict` does, in the envelope of V1."""
    only_described()
