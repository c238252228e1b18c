"""What `/use-model` and `/traffic` say alike: an entry of the log of use, and who confirms it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from service.api.schemas import Reply
from service.common.domain import Use
from service.rollout.change import Change
from service.rollout.replica import Confirmation


class EpochReply(Reply):
    """A version under the epoch in which it was put in use."""

    name: str
    version: int
    epoch: int


class ReplicaReply(Reply):
    """A replica and the epoch that it serves."""

    id: str
    url: str
    epoch: int


class ConfirmedReply(EpochReply):
    """What is in use, and who confirms it."""

    replicas: list[ReplicaReply]
    missing: list[str] = Field(description="the replicas that have not confirmed it")


class ChangedReply(ConfirmedReply):
    """What became of a change."""

    seconds: float


def late(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Return the response of a change that a replica has not confirmed, for OpenAPI."""
    return {202: {"model": model, "description": "A replica has not confirmed the change yet"}}


def entry_reply(use: Use) -> EpochReply:
    """Return the version of an entry, as clients are told it."""
    return EpochReply(name=use.name, version=use.version, epoch=use.epoch)


def confirmed_reply(
    use: Use, confirmations: Sequence[Confirmation], missing: Sequence[str]
) -> ConfirmedReply:
    """Return an entry with the replicas, as clients are told them."""
    return ConfirmedReply(
        **entry_reply(use).model_dump(),
        replicas=[ReplicaReply(**asdict(one)) for one in confirmations],
        missing=list(missing),
    )


def changed_reply(change: Change, response: Response) -> ChangedReply:
    """Return what became of a change; the status is 202 where a replica is missing."""
    if change.missing:
        response.status_code = 202
    return ChangedReply(
        **confirmed_reply(change.use, change.replicas, change.missing).model_dump(),
        seconds=round(change.seconds, 4),
    )
