"""`/internal/…`: the steps of a change, which replicas call on one another; not for clients."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import APIRouter, Request

from service.api.figures import figures_of
from service.api.services import Services, services_of
from service.api.skew import skew_of
from service.auth.peer_signatures import HEADER, is_signed
from service.common.errors import InvalidRequest, NotAPeer, TrainingEnded
from service.rollout.replica import Confirmation

router = APIRouter(include_in_schema=False)

_MOST_BYTES = 4096
_CANCEL_SECONDS = 3.0
"""How long to wait for the end of a training: less than the calling replica waits."""

Members = Mapping[str, Any]


def _text(members: Members, name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or len(value) > 256:
        raise InvalidRequest(f"{name} must be text.")
    return value


def _number(members: Members, name: str) -> int:
    value = members.get(name)
    if type(value) is not int or value < 1:
        raise InvalidRequest(f"{name} must be a whole number.")
    return value


def _prepare(services: Services, members: Members) -> None:
    version = services.registry.get_version(_text(members, "name"), _number(members, "version"))
    services.local.prepare(_text(members, "leader"), version)


def _swap(services: Services, _: Members) -> Members:
    swapped = services.local.swap()
    return {**_confirmed(swapped.confirmation), "held": swapped.held}


def _cancel(services: Services, members: Members) -> Members:
    training = _text(members, "training")
    try:
        cancelled = services.training_queue.cancel_here(training, _CANCEL_SECONDS)
    except TrainingEnded:
        cancelled = None
    return {"cancelled": cancelled is not None}


def _confirmed(confirmation: Confirmation) -> Members:
    return {"id": confirmation.id, "epoch": confirmation.epoch}


_STEPS: Mapping[str, Callable[[Services, Members], Members | None]] = {
    "grant": lambda services, members: services.local.grant(_text(members, "leader")),
    "release": lambda services, members: services.local.release(_text(members, "leader")),
    "prepare": _prepare,
    "stage": lambda services, members: {"epoch": services.local.stage(_text(members, "leader"))},
    "hold": lambda services, _: services.local.hold(),
    "swap": _swap,
    "confirm": lambda services, _: _confirmed(services.local.confirm()),
    "cancel": _cancel,
    "figures": lambda services, _: asdict(figures_of(services)),
    "skew": lambda services, members: asdict(
        skew_of(services, _text(members, "version"), _number(members, "seconds"))
    ),
    "traffic": lambda services, members: asdict(
        services.traffic_counts.of_this(_number(members, "epoch"))
    ),
}


@router.post("/internal/{step}")
async def internal(request: Request, step: str) -> dict[str, Any]:
    """Run one step; 403 where the call does not come from a replica."""
    services = services_of(request)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise NotAPeer
    if not _is_peer(services, request, body) or step not in _STEPS:
        raise NotAPeer
    try:
        members = orjson.loads(body)
    except ValueError as error:
        raise InvalidRequest("The body is not JSON.") from error
    if not isinstance(members, dict):
        raise InvalidRequest("The body must be an object.")
    answer = await services.step(_STEPS[step], services, members)
    return dict(answer or {})


def _is_peer(services: Services, request: Request, body: bytes) -> bool:
    key = services.settings.peer_key.get_secret_value()
    if key:
        return is_signed(key, request.url.path, body, request.headers.get(HEADER, ""))
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
