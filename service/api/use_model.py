"""`/use-model`: what every replica answers from."""

from fastapi import APIRouter, Request, Response

from service.api.change_replies import changed_reply, confirmed_reply, entry_reply, late
from service.api.request_body import StrictJsonRoute
from service.api.schemas import ProblemReply
from service.api.services import Services, services_of
from service.api.traffic_setting import setting
from service.api.use_model_schemas import (
    ChangeReply,
    FollowReply,
    UseModelRequest,
    UseReply,
)
from service.common.domain import LOG_OF_USE, Use, Version
from service.common.errors import ModelNotFound, NoModelInUse

router = APIRouter(tags=["use"], route_class=StrictJsonRoute)

_PROBLEM = {"model": ProblemReply}


@router.post(
    "/use-model",
    summary="Put a version in use, in every replica",
    response_model_exclude_unset=True,
    responses={
        200: {"links": {"predict": {"operationId": "predict"}}},
        **late(ChangeReply),
        **dict.fromkeys((400, 404, 409, 413, 415, 503), _PROBLEM),
    },
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"example": {"name": "iris", "version": 1}}}
        }
    },
)
async def use_model(request: Request, wanted: UseModelRequest, response: Response) -> ChangeReply:
    """Prepare the version everywhere, commit, tell everyone, answer."""
    services = services_of(request)
    if wanted.name == LOG_OF_USE:
        raise ModelNotFound(wanted.name)
    version = await _find(services, wanted)
    change = await services.change(
        services.coordinator.use,
        version,
        f"replica {services.local.id}",
        wanted.expected_epoch,
        follows=(wanted.alias or "") if wanted.follow else "",
    )
    reply = ChangeReply(
        **changed_reply(change, response).model_dump(),
        follows=_followed(change.use),
        previous=None if change.previous is None else entry_reply(change.previous),
    )
    if change.ended_traffic is not None:
        reply.ended_traffic = setting(change.ended_traffic)
    return reply


async def _find(services: Services, wanted: UseModelRequest) -> Version:
    registry, name = services.registry, wanted.name
    if wanted.alias is not None:
        return await services.ask(registry.version_of_alias, name, wanted.alias)
    if wanted.version is not None:
        return await services.ask(registry.get_version, name, wanted.version)
    return await services.ask(registry.newest_version, name)


def _followed(use: Use) -> FollowReply | None:
    return FollowReply(name=use.name, alias=use.follows) if use.follows else None


@router.get(
    "/use-model",
    summary="Show what is in use, and what each replica confirms",
    response_model_exclude_unset=True,
    responses={503: _PROBLEM},
)
async def get_use(request: Request) -> UseReply:
    """Return the newest entry of the log of use that this replica has seen."""
    services = services_of(request)
    use, confirmations, missing = await services.run(services.coordinator.status)
    if use is None:
        raise NoModelInUse(services.current_model.load_error)
    reply = UseReply(
        **confirmed_reply(use, confirmations, missing).model_dump(),
        follows=_followed(use),
    )
    error = services.follower.error(use)
    if error is not None:
        reply.follow_error = error
    if use.decision:
        reply.decision = use.decision
    return reply
