"""The model repository extension: the index of versions, and what loading means here.

To load a model is to put it in use in every replica. To unload a version lets it go from this
replica's memory; the one in use stays.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.inference.models import listed
from service.api.inference.request_schema import INDEX_BODY, LOAD_BODY, UNLOAD_BODY
from service.api.inference.schemas import ErrorReply, IndexItem, LoadReply, UnloadReply
from service.api.parameters import checked_version
from service.api.request_body import read_object
from service.api.services import Services, services_of
from service.common.domain import Version
from service.common.errors import InvalidRequest, Problem, VersionInUse, quoted

router = APIRouter(tags=["inference"], responses={"default": {"model": ErrorReply}})

_ERROR = {"model": ErrorReply}
_STATES = {True: "READY", False: "UNAVAILABLE", None: "UNKNOWN"}


@router.post(
    "/v2/repository/index",
    summary="List every version, and whether it can be served",
    responses={400: _ERROR, 413: _ERROR, 415: _ERROR, 503: _ERROR},
    openapi_extra=INDEX_BODY,
)
async def index(request: Request) -> list[IndexItem]:
    """Return all versions, or with `ready` those that can be served."""
    services = services_of(request)
    body = await read_object(request)
    ready = body.pop("ready", None)
    if body or not isinstance(ready, bool | None):
        raise InvalidRequest('The body may have "ready" alone, true or false.')
    return await indexed(services, bool(ready))


async def indexed(services: Services, ready: bool) -> list[IndexItem]:
    """Return all versions, or those that can be served."""
    shown = [_item(services, version) for version in await listed(services, None)]
    return [item for item in shown if not ready or item.state == "READY"]


def _item(services: Services, version: Version) -> IndexItem:
    servable, reason = services.version_list.verdict(version)
    return IndexItem(
        name=version.name,
        version=str(version.version),
        state=_STATES[servable],
        reason=reason or "",
    )


@router.post(
    "/v2/repository/models/{name}/load",
    summary="Put a version of a model in use, in every replica",
    responses={
        202: {"model": LoadReply, "description": "A replica has not confirmed the change yet"},
        **dict.fromkeys((400, 404, 409, 413, 415, 503), _ERROR),
    },
    openapi_extra=LOAD_BODY,
)
async def load(request: Request, name: str, response: Response) -> LoadReply:
    """Put its newest version in use, or the one that `parameters` name, as `POST /use-model` does.

    It is 202 where a replica has not confirmed the change yet.
    """
    number = named_version(name, await _parameters(request), LOADED_BY)
    if not await put_in_use(services_of(request), name, number):
        response.status_code = 202
    return LoadReply(name=name, load=True)


LOADED_BY = ("version",)
UNLOADED_BY = ("version", "unload_dependents")
"""The parameters that loading and unloading may have."""


async def put_in_use(services: Services, name: str, number: int | None) -> bool:
    """Put a version in use, the newest without `number`; return whether every replica confirmed.

    Raises like `Registry.get_version` and `Coordinator.use`.
    """
    registry = services.registry
    version = (
        await services.ask(registry.newest_version, name)
        if number is None
        else await services.ask(registry.get_version, name, number)
    )
    change = await services.change(
        services.coordinator.use, version, f"replica {services.local.id}"
    )
    return not change.missing


@router.post(
    "/v2/repository/models/{name}/unload",
    summary="Let a model's versions go from this replica's memory",
    responses=dict.fromkeys((400, 404, 409, 413, 415, 503), _ERROR),
    openapi_extra=UNLOAD_BODY,
)
async def unload(request: Request, name: str) -> UnloadReply:
    """Let all its versions go, or the one that `parameters` name; 409 where it is in use."""
    number = named_version(name, await _parameters(request), UNLOADED_BY)
    await let_go(services_of(request), name, number)
    return UnloadReply(name=name, unload=True)


async def let_go(services: Services, name: str, number: int | None) -> None:
    """Let a version go from memory, all of the model without `number`; raises VersionInUse."""
    newest = services.local.newest
    if newest is not None and newest.name == name and number in (None, newest.version):
        raise VersionInUse(name, newest.version)
    versions = services.answering.versions
    loaded = {version for model, version in versions.loaded() if model == name}
    if number is None and not loaded:
        await services.ask(services.registry.newest_version, name)  # 404 where there is none
    elif number is not None and number not in loaded:
        await services.ask(services.registry.get_version, name, number)
    for version in loaded if number is None else loaded & {number}:
        versions.drop(name, version)


async def _parameters(request: Request) -> dict[str, Any]:
    body = await read_object(request)
    parameters = body.pop("parameters", None)
    parameters = {} if parameters is None else parameters
    if body or not isinstance(parameters, dict):
        raise InvalidRequest('The body may have "parameters" alone, an object.')
    return parameters


def named_version(name: str, parameters: Mapping[str, Any], known: tuple[str, ...]) -> int | None:
    """Return the version that parameters name; raises InvalidRequest for those not in `known`.

    Triton's `config` and `file:…` would replace a model's files, and are refused like any other.
    """
    for key in parameters:
        if key not in known:
            message = f"is not a parameter here; there is {' and '.join(map(quoted, known))}"
            raise InvalidRequest(
                f"{quoted(key)} {message}.", [Problem("/parameters", f"{quoted(key)} {message}")]
            )
    version = parameters.get("version")
    if isinstance(version, bool) or not isinstance(version, str | int | None):
        raise InvalidRequest("The version must be a number or its digits.")
    return checked_version(name, None if version is None else str(version))
