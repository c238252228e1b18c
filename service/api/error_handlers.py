"""Exception handlers: every error becomes a problem (RFC 9457)."""

from http import HTTPStatus

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from service.api import problems
from service.api.predict_replies import DEFECT
from service.api.request_body import invalid_request
from service.api.services import services_of
from service.common.disk_errors import lack
from service.common.errors import ServiceError, StorageUnavailable
from service.common.json_logs import request_id


async def on_service_error(request: Request, error: Exception) -> Response:
    """Answer with the status from the table."""
    assert isinstance(error, ServiceError)
    shape = problems.shape_of(request.url.path)
    answer = problems.answer(error, request_id.get(), shape=shape)
    if answer.status < 500:
        services_of(request).metrics.invalid.labels(answer.slug).inc()
    return _response(answer)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Answer 400 with every problem that pydantic found."""
    assert isinstance(error, RequestValidationError)
    return await on_service_error(request, invalid_request(error, request.scope["route"]))


async def on_os_error(request: Request, error: Exception) -> Response:
    """Answer 503 where the disk is full or read-only; anything else is a defect."""
    reason = lack(error)
    if reason is None:
        raise error
    return await on_service_error(request, StorageUnavailable(reason))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer where no route, or not this method of a route, exists."""
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if detail == HTTPStatus(error.status_code).phrase:  # no route has said it
        detail = {
            404: "No such route; see GET /docs.",
            405: f"{request.method[:16]} is not allowed here; see Allow.",
        }.get(error.status_code, detail)
    allow = [(b"allow", _allowed(request, error))] if error.status_code == 405 else []
    shape = problems.shape_of(request.url.path)
    answer = problems.plain(error.status_code, detail, request_id.get(), allow, shape)
    services_of(request).metrics.invalid.labels(answer.slug).inc()
    return _response(answer)


def _allowed(request: Request, error: HTTPException) -> bytes:
    """Return the methods of all routes with this path; the router knows only the first one's."""
    scope, routes = request.scope, request.app.routes
    found = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**scope, "method": method})[0] is Match.FULL
            for route in routes
            if not isinstance(route, Mount)
        )
    ]
    if not found:
        return (error.headers or {}).get("Allow", "").encode()
    if found[0] == "GET":
        found.insert(1, "HEAD")
    return ", ".join(found).encode()


async def on_defect(request: Request, _: Exception) -> Response:
    """Answer 500 with a sentence, and no detail of the defect."""
    shape = problems.shape_of(request.url.path)
    return _response(problems.plain(500, DEFECT, request_id.get(), shape=shape))


def _response(answer: problems.Answer) -> Response:
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers)
