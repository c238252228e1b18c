"""`/models`: what MLflow holds."""

import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic.json_schema import SkipJsonSchema

from service.api.parameters import STRICT_QUERY, Limit, ModelName, PageToken, VersionId
from service.api.schemas import ProblemReply, VersionDetail, VersionList, VersionReply
from service.api.services import Services, services_of
from service.common.domain import Version
from service.common.errors import (
    NotFound,
    RegistryUnavailable,
    ServiceError,
    TrainingNotFound,
    VersionInUse,
    clip,
)
from service.common.ports import Registry
from service.schema.evaluation import FILE, MOST_BYTES, Evaluation, decode

logger = logging.getLogger(__name__)
router = APIRouter(tags=["models"])

_PROBLEM = {"model": ProblemReply}

_VERSION = {"name": "$response.body#/name", "version": "$response.body#/version"}
_NEWEST = {
    "name": "$response.body#/models/0/name",
    "version": "$response.body#/models/0/version",
}


def timestamp(seconds: float) -> str:
    """Return a time as RFC 3339, in UTC."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def version_reply(services: Services, version: Version) -> VersionReply:
    """Return a version as the API shows it."""
    servable, reason = services.version_list.verdict(version)
    reply = VersionReply(
        name=version.name,
        version=version.version,
        created_at=timestamp(version.created_at),
        model_type=version.model_type or None,
        metrics=dict(version.metrics),
        in_use=services.local.is_in_use(version.name, version.version),
        aliases=list(version.aliases),
        servable=servable,
    )
    if reason is not None:
        reply.reason = reason
    return reply


@router.get(
    "/models",
    summary="List every version that MLflow holds, the newest first",
    dependencies=STRICT_QUERY,
    response_model_exclude_unset=True,
    responses={
        200: {
            "links": {
                "newest": {"operationId": "get_version", "parameters": _NEWEST},
                "delete": {"operationId": "delete_version", "parameters": _NEWEST},
            }
        },
        400: _PROBLEM,
        503: _PROBLEM,
    },
)
async def list_models(
    request: Request,
    name: Annotated[ModelName | SkipJsonSchema[None], Query()] = None,
    limit: Limit = 100,
    page_token: PageToken = None,
) -> VersionList:
    """Return the versions, with what makes one servable or not."""
    services = services_of(request)
    try:
        listed = await services.ask(services.version_list.page, name, limit, page_token)
    except RegistryUnavailable:
        listed = services.version_list.last_seen(name, limit, page_token)
    return VersionList(
        models=[version_reply(services, version) for version in listed.page.items],
        next_page_token=listed.page.next_page_token,
        stale=listed.stale,
        age_seconds=round(listed.age_seconds, 3),
    )


@router.get(
    "/models/{name}/versions/{version}",
    summary="Show one version, with its schema, example, training and data set",
    response_model_exclude_unset=True,
    responses={
        200: {
            "links": {
                "use": {"operationId": "use_model", "requestBody": _VERSION},
                "delete": {"operationId": "delete_version", "parameters": _VERSION},
            }
        },
        404: _PROBLEM,
        503: _PROBLEM,
    },
)
async def get_version(request: Request, identifier: VersionId) -> VersionDetail:
    """Return a version with all that is known of it."""
    services = services_of(request)
    version = await services.ask(services.registry.get_version, *identifier)
    described = await services.run(services.version_list.describe, version)
    detail = VersionDetail(
        **version_reply(services, version).model_dump(exclude_unset=True),
        run_id=version.run_id or None,
        params=dict(version.params),
        sha256=dict(version.sha256),
        **described,
    )
    if version.run_id and not version.foreign:
        try:
            training = await services.ask(services.registry.get_training, version.run_id)
        except (TrainingNotFound, RegistryUnavailable):
            return detail
        detail.training, detail.data_set = training.id, training.data_set
        with suppress(ServiceError):
            evaluation = await services.ask(_read_evaluation, services.registry, version)
            if evaluation is not None:
                detail.evaluation = evaluation
    return detail


def _read_evaluation(registry: Registry, version: Version) -> Evaluation | None:
    """Return how a version did on its held-out rows; None where that was not recorded.

    Nor where it is something else: others may have written to MLflow's storage.
    """
    data = registry.read_file(version.run_id, FILE, MOST_BYTES + 1)
    try:
        return None if data is None else decode(data)
    except ValueError as error:
        reason = clip(" ".join(str(error).split()), 300)
        logger.warning("%s of %s %d is refused: %s", FILE, version.name, version.version, reason)
        return None


@router.delete(
    "/models/{name}/versions/{version}",
    summary="Delete a version that is not in use",
    status_code=204,
    responses={404: _PROBLEM, 409: _PROBLEM, 503: _PROBLEM},
)
async def delete_version(request: Request, identifier: VersionId) -> None:
    """Delete a version; 409 while it is in use."""
    services = services_of(request)
    try:
        await services.ask(services.registry.get_version, *identifier)
    except NotFound:
        if services.local.is_in_use(*identifier):
            raise VersionInUse(*identifier) from None
        raise
    await services.change(services.coordinator.delete, *identifier)
    services.answering.versions.drop(*identifier)
