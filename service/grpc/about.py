"""The methods about the server, its models and the repository, each as over REST."""

from collections.abc import Sequence
from typing import Any

from service import __version__
from service.api.health import check_ready
from service.api.inference import repository
from service.api.inference.models import (
    EXTENSIONS,
    SERVER,
    check_model_ready,
    configuration,
    find,
    metadata,
)
from service.api.inference.schemas import TensorMetadata
from service.api.services import Services
from service.common.errors import ClassifierUnavailable, NotReady, Unavailable
from service.grpc.messages import DATA_TYPES, message
from service.grpc.requests import parameters_of


async def server_live(_services: Services, _request: Any) -> Any:
    """Return at once, as `GET /healthz`."""
    return message("ServerLiveResponse")(live=True)


async def server_ready(services: Services, _request: Any) -> Any:
    """Return whether the server is ready."""
    return message("ServerReadyResponse")(ready=is_ready(services))


def is_ready(services: Services) -> bool:
    """Return whether `GET /readyz` is 200."""
    try:
        check_ready(services)
    except Unavailable:
        return False
    return True


async def model_ready(services: Services, request: Any) -> Any:
    """Return whether a version, or the one that answers for a model, can answer."""
    ready = True
    try:
        await check_model_ready(services, request.name, request.version or None)
    except (NotReady, ClassifierUnavailable):
        ready = False
    return message("ModelReadyResponse")(ready=ready)


async def server_metadata(_services: Services, _request: Any) -> Any:
    """Return name, version and extensions."""
    return message("ServerMetadataResponse")(
        name=SERVER, version=__version__, extensions=EXTENSIONS
    )


async def model_metadata(services: Services, request: Any) -> Any:
    """Return inputs and outputs of a version, or of the one that answers for a model."""
    shown = await metadata(services, request.name, request.version or None)
    reply = message("ModelMetadataResponse")(
        name=shown.name, versions=shown.versions, platform=shown.platform
    )
    _add_tensors(reply.inputs, shown.inputs)
    _add_tensors(reply.outputs, shown.outputs)
    _add_texts(reply.parameters, shown.parameters)
    return reply


def _add_tensors(tensors: Any, shown: Sequence[TensorMetadata]) -> None:
    for one in shown:
        tensor = tensors.add(name=one.name, datatype=one.datatype, shape=one.shape)
        _add_texts(tensor.parameters, one.parameters or {})


def _add_texts(parameters: Any, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        parameters.add(key=name).value.string_param = text


async def model_config(services: Services, request: Any) -> Any:
    """Return the configuration of a version, or of the one that answers for a model."""
    shown = configuration(await find(services, request.name, request.version or None))
    reply = message("ModelConfigResponse")()
    config = reply.config
    config.name, config.platform, config.backend = shown.name, shown.platform, shown.backend
    config.max_batch_size = shown.max_batch_size
    config.version_policy.latest.num_versions = shown.version_policy["latest"]["num_versions"]
    for described, tensors in ((shown.input, config.input), (shown.output, config.output)):
        for one in described:
            tensors.add(name=one.name, data_type=DATA_TYPES[one.data_type], dims=one.dims)
    return reply


async def repository_index(services: Services, request: Any) -> Any:
    """Return every version, or with `ready` those that can be served."""
    reply = message("RepositoryIndexResponse")()
    for item in await repository.indexed(services, request.ready):
        reply.models.add(**item.model_dump())
    return reply


async def repository_model_load(services: Services, request: Any) -> Any:
    """Put a version in use, in every replica."""
    name = _model_name(request)
    number = repository.named_version(name, parameters_of(request.parameters), repository.LOADED_BY)
    await repository.put_in_use(services, name, number)
    return message("RepositoryModelLoadResponse")(model_name=name, isLoaded=True)


async def repository_model_unload(services: Services, request: Any) -> Any:
    """Let a model's versions go from this replica's memory."""
    name = _model_name(request)
    number = repository.named_version(
        name, parameters_of(request.parameters), repository.UNLOADED_BY
    )
    await repository.let_go(services, name, number)
    return message("RepositoryModelUnloadResponse")(model_name=name, isUnloaded=True)


def _model_name(request: Any) -> str:
    """Return the model's name, which KServe has where others have that of a repository."""
    return str(request.model_name or request.repository_name)
