"""`GET /figures`: what every replica reports of itself, for a page that asks every two seconds."""

from dataclasses import asdict

import psutil
from fastapi import APIRouter, Request
from pydantic import Field

from service.api.health import check_ready
from service.api.models import timestamp
from service.api.schemas import Reply
from service.api.services import Services, services_of
from service.common.errors import ServiceError
from service.common.metrics import LATENCY_BUCKETS, value_of
from service.rollout.figures import Figures, Latency, Requests, Trainings

router = APIRouter(tags=["health"])


class TrainingFigures(Reply):
    """The trainings of a replica now."""

    running: int
    queued: int


class RequestFigures(Reply):
    """Requests for predictions, of all versions and in every protocol."""

    ok: int = Field(description="answered")
    invalid: int = Field(description="the client's fault")
    refused: int = Field(description="overload")
    error: int = Field(description="the service's fault")


class LatencyFigures(Reply):
    """The durations of the requests that are `ok`."""

    bounds: list[float] = Field(description="the longest that each count includes, in seconds")
    counts: list[int] = Field(description="one more than bounds: the last is of those beyond")


class ReplicaFigures(Reply):
    """One replica. Counts are those since `started_at`, and never fall until it starts again."""

    id: str
    url: str = Field(description="empty for the replica that answers")
    started_at: str = Field(description="RFC 3339")
    ready: bool
    model: str | None
    version: int | None
    epoch: int | None
    memory_bytes: int = Field(description="of the process that serves, without its workers")
    in_flight: int = Field(description="predictions of slow models under way")
    trainings: TrainingFigures
    requests: RequestFigures
    rows: int = Field(description="rows answered with a prediction")
    latency: LatencyFigures


class FiguresReply(Reply):
    """All replicas."""

    replicas: list[ReplicaFigures] = Field(description="by id")
    missing: list[str] = Field(description="the addresses of those that do not answer")


@router.get("/figures", summary="Show live figures of every replica")
async def get_figures(request: Request) -> FiguresReply:
    """Return what each replica counts and uses; MLflow is not asked.

    Requests that name no version which could be loaded are in no count, nor is what is refused for
    lack of a key.
    """
    services = services_of(request)
    others, missing = await services.figures_of_others.answer()
    replicas = sorted([figures_of(services), *others], key=lambda one: one.id)
    return FiguresReply(replicas=[_reply(one) for one in replicas], missing=list(missing))


def _reply(figures: Figures) -> ReplicaFigures:
    return ReplicaFigures(**{**asdict(figures), "started_at": timestamp(figures.started_at)})


def figures_of(services: Services) -> Figures:
    """Return what this replica reports of itself; may be called from any thread."""
    metrics, in_use = services.metrics, services.current_model.in_use
    totals = metrics.predict.totals()
    return Figures(
        id=services.local.id,
        started_at=services.started_at,
        ready=_is_ready(services),
        model=None if in_use is None else in_use.name,
        version=None if in_use is None else in_use.version,
        epoch=None if in_use is None else in_use.epoch,
        memory_bytes=psutil.Process().memory_info().rss,
        in_flight=int(value_of(metrics.in_flight)),
        trainings=Trainings(
            int(value_of(metrics.trainings_running)), int(value_of(metrics.trainings_queued))
        ),
        requests=Requests(**{outcome: sum(one.counts) for outcome, one in totals.items()}),
        rows=totals["ok"].rows,
        latency=Latency(LATENCY_BUCKETS, tuple(totals["ok"].counts)),
    )


def _is_ready(services: Services) -> bool:
    try:
        check_ready(services)
    except ServiceError:
        return False
    return True
