"""`/trainings`: followed, listed, and cancelled."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from service.api.models import timestamp
from service.api.parameters import STRICT_QUERY, Limit, PageToken
from service.api.schemas import (
    ComparisonReply,
    ProblemReply,
    SearchReply,
    TrainingList,
    TrainingReply,
)
from service.api.services import services_of
from service.common.domain import Training

router = APIRouter(tags=["training"])

_PROBLEM = {"model": ProblemReply}
_VERSION = {"name": "$response.body#/name", "version": "$response.body#/version"}
LINKS = {
    "version": {"operationId": "get_version", "parameters": _VERSION},
    "use": {"operationId": "use_model", "requestBody": _VERSION},
}
"""What may be done with a version that a training has made."""


def training_reply(training: Training) -> TrainingReply:
    """Return a training as the API shows it; what is not known yet is left out."""
    optional: dict[str, Any] = {}
    if training.stage:
        optional["stage"] = training.stage
    if training.finished_at is not None:
        optional["finished_at"] = timestamp(training.finished_at)
    if training.error is not None:
        optional["error"] = training.error
    if training.version is not None:
        optional["version"] = training.version
        optional["metrics"] = dict(training.metrics)
        optional["used"] = training.used
    if training.missing:
        optional["missing"] = list(training.missing)
    if training.comparison is not None:
        optional["comparison"] = ComparisonReply(**asdict(training.comparison))
    if training.search is not None:
        optional["search"] = SearchReply(**asdict(training.search))
    if training.seconds:
        optional["seconds"] = {key: round(value, 4) for key, value in training.seconds.items()}
    return TrainingReply(
        id=training.id,
        state=training.state,
        name=training.name,
        model_type=training.model_type,
        run_id=training.id,
        created_at=timestamp(training.created_at),
        progress=round(training.progress, 3),
        notes=[asdict(note) for note in training.notes],
        **optional,
    )


@router.get(
    "/trainings",
    summary="List trainings, the newest first",
    dependencies=STRICT_QUERY,
    response_model_exclude_unset=True,
    responses={
        200: {
            "links": {
                "cancel": {
                    "operationId": "cancel_training",
                    "parameters": {"training": "$response.body#/trainings/0/id"},
                }
            }
        },
        400: _PROBLEM,
        503: _PROBLEM,
    },
)
async def list_trainings(
    request: Request, limit: Limit = 100, page_token: PageToken = None
) -> TrainingList:
    """Return trainings, in whatever state."""
    services = services_of(request)
    page = await services.ask(services.registry.list_trainings, limit, page_token)
    trainings = [
        training_reply(services.training_queue.current(training)) for training in page.items
    ]
    return TrainingList(trainings=trainings, next_page_token=page.next_page_token)


@router.get(
    "/trainings/{training}",
    summary="Follow a training",
    response_model_exclude_unset=True,
    responses={200: {"links": LINKS}, 404: _PROBLEM, 503: _PROBLEM},
)
async def get_training(request: Request, training: str) -> TrainingReply:
    """Return one training, with its progress."""
    services = services_of(request)
    return training_reply(await services.ask(services.training_queue.get, training))


@router.delete(
    "/trainings/{training}",
    summary="Cancel a training",
    response_model_exclude_unset=True,
    responses={404: _PROBLEM, 409: _PROBLEM, 503: _PROBLEM},
)
async def cancel_training(request: Request, training: str) -> TrainingReply:
    """Stop a training that waits or runs; 409 where it has ended."""
    services = services_of(request)
    return training_reply(await services.run(services.training_queue.cancel, training))
