"""`/models`: what MLflow holds."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from service.api.request_body import (
    NAME,
    PAGING,
    name_in_path,
    name_in_query,
    only_query,
    page_limit,
    page_token,
    reply,
    version_in_path,
)
from service.api.schemas import ProblemReply, VersionDetail, VersionList
from service.api.services import Services, services_of
from service.common.domain import Version
from service.common.errors import RegistryUnavailable, TrainingNotFound

router = APIRouter(tags=["models"])

_PROBLEM = {"model": ProblemReply}


def timestamp(seconds: float) -> str:
    """Give a time as RFC 3339, in UTC."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def shown(services: Services, version: Version) -> dict[str, Any]:
    """Give a version as the API shows it."""
    in_use = services.local.newest
    servable, reason = services.version_list.verdict(version)
    item: dict[str, Any] = {
        "name": version.name,
        "version": version.version,
        "created_at": timestamp(version.created_at),
        "model_type": version.model_type or None,
        "metrics": dict(version.metrics),
        "in_use": in_use is not None
        and (in_use.name, in_use.version) == (version.name, version.version),
        "servable": servable,
    }
    if reason is not None:
        item["reason"] = reason
    return item


@router.get(
    "/models",
    summary="List every version that MLflow holds, the newest first",
    responses={200: {"model": VersionList}, 400: _PROBLEM, 503: _PROBLEM},
    openapi_extra={
        "parameters": [
            {"name": "name", "in": "query", "schema": NAME},
            *PAGING,
        ]
    },
)
async def list_models(request: Request) -> Response:
    """Give the versions, with what makes one servable or not."""
    services = services_of(request)
    only_query(request, "name", "limit", "page_token")
    query = request.query_params
    name = name_in_query(query["name"]) if "name" in query else None
    limit, token = page_limit(request), page_token(request)
    try:
        listed = await services.ask(services.version_list.page, name, limit, token)
    except RegistryUnavailable:
        listed = services.version_list.last_seen(name, limit, token)
    return reply(
        {
            "models": [shown(services, version) for version in listed.page.items],
            "next_page_token": listed.page.next_page_token,
            "stale": listed.stale,
            "age_seconds": round(listed.age_seconds, 3),
        }
    )


@router.get(
    "/models/{name}/versions/{version}",
    summary="Show one version, with its schema, example, training and data set",
    responses={200: {"model": VersionDetail}, 404: _PROBLEM, 503: _PROBLEM},
)
async def get_version(request: Request, name: str, version: str) -> Response:
    """Give a version with all that is known of it."""
    services = services_of(request)
    name = name_in_path(name)
    found = await services.ask(services.registry.get_version, name, version_in_path(name, version))
    described = await services.run(services.version_list.describe, found)
    item = {
        **shown(services, found),
        "aliases": list(found.aliases),
        "run_id": found.run_id or None,
        "params": dict(found.params),
        "sha256": dict(found.sha256),
        **described,
    }
    if found.run_id and not found.foreign:
        try:
            training = await services.ask(services.registry.get_training, found.run_id)
        except (TrainingNotFound, RegistryUnavailable):
            return reply(item)
        item |= {"training": training.id, "data_set": training.data_set}
    return reply(item)


@router.delete(
    "/models/{name}/versions/{version}",
    summary="Delete a version that is not in use",
    status_code=204,
    responses={404: _PROBLEM, 409: _PROBLEM, 503: _PROBLEM},
)
async def delete_version(request: Request, name: str, version: str) -> Response:
    """Delete a version; 409 while it is in use."""
    services = services_of(request)
    name = name_in_path(name)
    number = version_in_path(name, version)
    await services.ask(services.registry.get_version, name, number)
    await services.change(services.coordinator.delete, name, number)
    return Response(status_code=204)
