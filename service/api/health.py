"""Liveness, readiness and metrics: what a cluster asks, never answered by way of a thread."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.schemas import HealthReply, ProblemReply, ReadyReply
from service.api.services import Services, services_of
from service.common.errors import ClassifierUnavailable, NotReady
from service.serving.current_model import LoadedVersion

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Liveness: the event loop responds")
async def healthz() -> HealthReply:
    """Return at once; nothing but the event loop is asked."""
    return HealthReply(status="ok")


@router.get(
    "/readyz",
    summary="Readiness: predictions are answered from the newest model in use",
    responses={503: {"model": ProblemReply}},
)
async def readyz(request: Request) -> ReadyReply:
    """Return 200 when a model is loaded and warm and its epoch was confirmed since the start.

    It is 503 also while a native model's process is being started again.
    """
    in_use = check_ready(services_of(request))
    return ReadyReply(status="ready", model=in_use.name, version=in_use.version)


def check_ready(services: Services) -> LoadedVersion:
    """Return the model in use; raises NotReady, NoModelInUse or ClassifierUnavailable."""
    if services.draining:
        raise NotReady("The replica is going away.")
    if not services.poller.reached:
        raise NotReady("What is in use has not been read from MLflow since the start.")
    in_use = services.current_model.get()
    if not in_use.predictor.classifier.ready:
        # Other replicas can answer meanwhile.
        raise ClassifierUnavailable
    return in_use


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
)
async def metrics(request: Request) -> Response:
    """Return every metric of the process."""
    text = generate_latest(services_of(request).metrics.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
