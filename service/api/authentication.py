"""Checks the key of a request before anything else, where there are keys."""

import re
from contextlib import suppress
from math import inf

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import problems
from service.api.security_headers import SECURITY_HEADERS
from service.auth.api_keys import ApiKeys
from service.common.errors import Forbidden, RateExceeded, ServiceError, Unauthorized
from service.common.metrics import Metrics

_OPEN = (
    *("/healthz", "/readyz", "/metrics", "/", "/docs", "/openapi.json"),
    *("/v2/health/live", "/v2/health/ready", "/ping", "/health"),
)
"""Needs no key: probes, and pages that a browser opens before it can send one."""

_OPEN_BELOW = ("/console/", "/docs/assets/", "/internal/")
"""Needs no key either: the files of these pages, and calls of replicas, which are signed."""

_PREDICTS = re.compile(
    "/predict|/invocations|/models/[^/]+/versions/[^/]+/predict|/v2/models/[^/]+(/versions/[^/]+)?/infer"
    "|/v1/models/[^/]+:predict|/v2/repository/index|/outcomes"
)
"""Posts that change neither models nor data."""

_DISCARDED_BYTES = 65_536
"""A body of up to this size is discarded after the answer, and the connection kept."""


def role_for(method: str, path: str) -> str | None:
    """Return the role that a request needs, or None; what is not listed needs the highest."""
    if path in _OPEN or path.startswith(_OPEN_BELOW):
        return None
    if method in ("GET", "HEAD") or (method == "POST" and _PREDICTS.fullmatch(path)):
        return "predict"
    if (method, path) in (("POST", "/train"), ("POST", "/datasets")):
        return "train"
    if method == "DELETE" and path.startswith("/trainings/"):
        return "train"
    return "admin"


class AuthMiddleware:
    """Passes on requests whose key has the role that they need, within its rate."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, metrics: Metrics) -> None:
        self._app = app
        self._keys = keys
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 403 or 429, or hand on a request with its role."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        needed = role_for(scope["method"], scope["path"])
        if needed is not None:
            try:
                scope["role"] = self._keys.check(header(scope, b"authorization"), needed)
            except (Unauthorized, Forbidden, RateExceeded) as error:
                await refuse(error, scope, send, self._metrics)
                return
        elif scope["path"] == "/openapi.json":
            # It needs no key, and shows the model in use to clients that have one.
            with suppress(Unauthorized, Forbidden, RateExceeded):
                scope["role"] = self._keys.check(header(scope, b"authorization"), "predict")
        await self._app(scope, receive, send)


async def refuse(error: ServiceError, scope: Scope, send: Send, metrics: Metrics) -> None:
    """Answer a request with an error before its body is received."""
    identifier = problems.request_id_of(header(scope, b"x-request-id"))
    answer = problems.answer(error, identifier, shape=problems.shape_of(scope["path"]))
    # A client that is refused may not have the service receive a large body.
    is_large = _length(scope) > _DISCARDED_BYTES
    more = [*SECURITY_HEADERS, (b"connection", b"close")] if is_large else SECURITY_HEADERS
    await answer.send(send, more)
    metrics.invalid.labels(answer.slug).inc()


def _length(scope: Scope) -> float:
    """Return the length of a request's body; infinity where it is not declared."""
    if header(scope, b"transfer-encoding") is not None:
        return inf
    length = header(scope, b"content-length") or b"0"
    return int(length) if length.isdigit() and len(length) < 20 else inf


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of this name."""
    return next((value for key, value in scope["headers"] if key == name), None)
