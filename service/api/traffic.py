"""`/traffic`: a second version beside the one in use, in every replica."""

from fastapi import APIRouter, Request, Response

from service.api.change_replies import changed_reply, late
from service.api.request_body import StrictJsonRoute
from service.api.schemas import ProblemReply
from service.api.services import services_of
from service.api.traffic_replies import state
from service.api.traffic_schemas import (
    TrafficChangeReply,
    TrafficReply,
    TrafficRequest,
)
from service.api.traffic_setting import setting
from service.common.domain import LOG_OF_USE, Use, Version
from service.common.errors import (
    ChangeUnderWay,
    ModelNotFound,
    TrafficNotFound,
    TrafficRefused,
    quoted,
)
from service.common.traffic import Mode, Traffic
from service.rollout.change import Change
from service.schema.contract import Schema, contract_difference
from service.serving.current_model import LoadedVersion

router = APIRouter(tags=["use"], route_class=StrictJsonRoute)

_PROBLEM = {"model": ProblemReply}


@router.put(
    "/traffic",
    summary="Put a second version beside the one in use, in every replica",
    responses={
        **late(TrafficChangeReply),
        **dict.fromkeys((400, 404, 409, 413, 415, 503), _PROBLEM),
    },
    openapi_extra={
        "requestBody": {
            "content": {
                "application/json": {
                    "example": {"name": "iris", "version": 2, "mode": "shadow", "percent": 100}
                }
            }
        }
    },
)
async def put_traffic(
    request: Request, wanted: TrafficRequest, response: Response
) -> TrafficChangeReply:
    """Have a second version answer beside the one in use: again, or a share of the clients.

    Both must have the same features and classes. What is counted of both begins anew. Any change of
    the model in use ends it.
    """
    services = services_of(request)
    if wanted.name == LOG_OF_USE:
        raise ModelNotFound(wanted.name)
    version = await services.ask(services.registry.get_version, wanted.name, wanted.version)
    in_use = services.current_model.get()
    # Of its files only; `direct` loads it, in every replica, and has it answer its example.
    schema = await services.run(services.version_list.schema, version)
    _check(in_use, version, schema, wanted.mode)

    def compared_with(use: Use) -> None:
        if (use.name, use.version) != (in_use.name, in_use.version):
            raise ChangeUnderWay

    traffic = Traffic(
        version.name,
        version.version,
        version.digest,
        version.run_id,
        version.created_at,
        wanted.mode,
        wanted.percent,
        (wanted.key or "").lower(),
        None if wanted.rules is None else wanted.rules.value(),
    )
    by = f"replica {services.local.id}"
    change = await services.change(
        services.coordinator.direct,
        version,
        traffic,
        by,
        wanted.expected_epoch,
        check=compared_with,
    )
    await services.run(services.comparer.compared, change.use.epoch)  # it begins here at once
    return _reply(change, response)


def _check(in_use: LoadedVersion, version: Version, schema: Schema, mode: Mode) -> None:
    """Raise TrafficRefused where a version cannot stand beside the one in use."""
    name, number = version.name, version.version
    if (in_use.name, in_use.version) == (name, number):
        raise TrafficRefused(name, number, "it is the one in use")
    title = f"version {in_use.version} of {quoted(in_use.name)} is in use"
    has_probabilities = in_use.predictor.schema.probabilities
    difference = contract_difference(schema, in_use.predictor.schema)
    if difference:
        raise TrafficRefused(name, number, f"{title}; {difference}")
    if mode == "split" and has_probabilities and not schema.probabilities:
        # A client that asks for them would be refused by one of the two, and not by the other.
        reason = f"it has no probabilities to answer clients with; {title}, and has them"
        raise TrafficRefused(name, number, reason)
    if in_use.predictor.tally is None:
        reason = "SERVICE_SKEW_ROWS_PER_SECOND is 0, so that no row is compared"
        raise TrafficRefused(name, number, reason)


@router.delete(
    "/traffic",
    summary="End the traffic to the second version, in every replica",
    responses={**late(TrafficChangeReply), **dict.fromkeys((404, 503), _PROBLEM)},
)
async def delete_traffic(request: Request, response: Response) -> TrafficChangeReply:
    """Have the version in use answer alone again."""
    services = services_of(request)
    by = f"replica {services.local.id}"
    change = await services.change(
        services.coordinator.direct, None, None, by, None, check=_has_second
    )
    return _reply(change, response)


def _has_second(use: Use) -> None:
    if use.traffic is None:
        raise TrafficNotFound


def _reply(change: Change, response: Response) -> TrafficChangeReply:
    before = change.ended_traffic
    return TrafficChangeReply(
        **changed_reply(change, response).model_dump(),
        traffic=None if change.use.traffic is None else setting(change.use.traffic),
        ended=None if before is None else setting(before),
    )


@router.get(
    "/traffic",
    summary="Show what is known of the second version beside the one in use",
    responses={503: _PROBLEM},
)
async def get_traffic(request: Request) -> TrafficReply:
    """Return how both versions answered since it began, in all replicas; null without a second."""
    services = services_of(request)
    in_use = services.current_model.get()
    if in_use.traffic is None:
        return TrafficReply(traffic=None)
    async with services.comparing:
        counts = await services.run(services.traffic_counts.of_all, in_use.epoch)
    use = services.local.newest
    since = use.at if use is not None and use.epoch == in_use.epoch else None
    return TrafficReply(traffic=state(in_use, in_use.traffic, since, counts))
