"""`/use-model`: what every replica answers from."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.request_body import name_in_body, read_json, reply
from service.api.schemas import ChangeReply, ProblemReply, UseModelRequest, UseReply
from service.api.services import Services, services_of
from service.common.domain import LOG_OF_USE, Use, Version
from service.common.errors import InvalidRequest, ModelNotFound, NoModelInUse, Problem

router = APIRouter(tags=["use"])

_PROBLEM = {"model": ProblemReply}


@router.post(
    "/use-model",
    summary="Put a version in use, in every replica",
    responses={
        200: {"model": ChangeReply},
        202: {"model": ChangeReply, "description": "A replica has not confirmed the change yet"},
        **dict.fromkeys((400, 404, 409, 413, 415, 503), _PROBLEM),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/UseModelRequest"},
                    "example": {"name": "iris", "version": 1},
                }
            },
        }
    },
)
async def use_model(request: Request) -> Response:
    """Prepare the version everywhere, commit, tell everyone, answer."""
    services = services_of(request)
    wanted = await read_json(request, UseModelRequest)
    name = name_in_body(wanted.name)
    if wanted.version is not None and wanted.alias is not None:
        message = "cannot stand beside version; send one of them"
        raise InvalidRequest(f"alias {message}.", [Problem("/alias", message)])
    if name == LOG_OF_USE:
        raise ModelNotFound(name)
    version = await _find(services, name, wanted)
    change = await services.change(
        services.coordinator.use, version, f"replica {services.local.id}", wanted.expected_epoch
    )
    previous = change.previous
    body = {
        **_place(change.use),
        "previous": _place(previous) if previous is not None else None,
        "replicas": [asdict(confirmation) for confirmation in change.replicas],
        "missing": list(change.missing),
        "seconds": round(change.seconds, 4),
    }
    return reply(body, 202 if change.missing else 200)


async def _find(services: Services, name: str, wanted: UseModelRequest) -> Version:
    if wanted.alias is not None:
        return await services.ask(services.registry.version_of_alias, name, wanted.alias)
    if wanted.version is not None:
        return await services.ask(services.registry.get_version, name, wanted.version)
    return await services.ask(services.registry.newest_version, name)


def _place(use: Use) -> dict[str, Any]:
    return {"name": use.name, "version": use.version, "epoch": use.epoch}


@router.get(
    "/use-model",
    summary="Show what is in use, and what each replica confirms",
    responses={200: {"model": UseReply}, 503: _PROBLEM},
)
async def get_use(request: Request) -> Response:
    """Give the newest entry of the log of use that this replica has seen."""
    services = services_of(request)
    use, confirmations, missing = await services.run(services.coordinator.status)
    if use is None:
        raise NoModelInUse(services.current_model.load_error)
    return reply(
        {
            **_place(use),
            "replicas": [asdict(confirmation) for confirmation in confirmations],
            "missing": missing,
        }
    )
