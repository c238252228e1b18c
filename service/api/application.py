"""The ASGI application: predictions by themselves, every other route by FastAPI."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import __version__
from service.api import (
    access,
    console,
    datasets,
    error_handlers,
    figures,
    health,
    internal,
    model_types,
    models,
    openapi,
    outcomes,
    problems,
    schema,
    skew,
    traffic,
    train,
    trainings,
    use_model,
)
from service.api.authentication import AuthMiddleware, header
from service.api.compression import CompressionMiddleware
from service.api.cross_origin import cors
from service.api.inference import models as inference_models
from service.api.inference import repository
from service.api.predictions import Predictions
from service.api.scoring import routes as scoring
from service.api.security_headers import missing
from service.api.services import Lifespan
from service.auth.api_keys import ApiKeys
from service.common.errors import ServiceError
from service.common.json_logs import request_id
from service.common.metrics import Metrics

logger = logging.getLogger(__name__)

_DESCRIPTION = (
    "Trains scikit-learn classifiers on request, versions them in MLflow and serves the one in use."
)


class Service:
    """The ASGI application: predictions by themselves, everything else by FastAPI."""

    def __init__(
        self,
        predictions: Predictions,
        rest: ASGIApp,
        metrics: Metrics,
        drain: Callable[[], None],
        keys: ApiKeys | None = None,
        cors_origins: Sequence[str] = (),
    ) -> None:
        self.keys = keys
        app: ASGIApp = CompressionMiddleware(self._dispatch)
        if keys is not None:
            app = AuthMiddleware(app, keys, metrics)
        if cors_origins:
            app = cors(app, cors_origins)
        self._app = app
        self.predictions = predictions
        self._rest = rest
        self.metrics = metrics
        self.drain = drain
        """Begins the shutdown: the replica is not ready any more, and trainings stop."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one request, or the lifespan."""
        await self._app(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http" and scope["method"] == "POST":
            found = self.predictions.find(scope["path"])
        if found is None:
            await self._rest(scope, receive, send)
        else:
            answer, named = found
            await answer(scope, receive, send, *named)


class RequestScope:
    """Wraps every other route: request ids, security headers, counts, and logs of defects."""

    def __init__(self, app: FastAPI, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = header(scope, b"x-request-id")
        identifier = problems.request_id_of(sent)
        request_id.set(identifier)
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), *missing(message.get("headers", ()))]
                known = any(name == b"x-request-id" for name, _ in headers)
                if (sent is not None or status >= 400) and not known:
                    headers.append((b"x-request-id", identifier.encode()))
                message["headers"] = headers
            await send(message)

        start = time.perf_counter()
        # HEAD is a GET whose body the server does not send.
        routed = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._app(routed, receive, watched)
        except ClientDisconnect:
            return
        except Exception:
            # A defect of ours; Starlette has answered it through error_handlers.on_defect.
            logger.exception("%s %s met a defect", scope["method"], scope["path"])
        route = getattr(routed.get("route"), "path", "unmatched")
        self._metrics.requests.labels(route, _method(scope["method"]), str(status)).inc()
        asked = scope["method"] in ("GET", "HEAD")
        # A probe asks every second; its answers are in the metrics.
        if not asked or (status >= 500 and route != "/readyz"):
            extra = {"status": status, "seconds": round(time.perf_counter() - start, 4)}
            logger.info("%s %s", scope["method"], route, extra=extra)


def _method(method: str) -> str:
    """Return a method as a metrics label; unknown methods share one."""
    return method if method in ("GET", "POST", "DELETE", "HEAD", "PUT", "PATCH") else "other"


def fastapi_application(
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[Lifespan]],
    with_peers: bool,
) -> FastAPI:
    """Return FastAPI with every route but the one that answers predictions.

    Without other replicas there is no route for their calls.
    """
    app = FastAPI(
        title="mlops-desafio",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
        responses=openapi.DEFAULT_RESPONSES,
        exception_handlers={
            ServiceError: error_handlers.on_service_error,
            HTTPException: error_handlers.on_http_exception,
            RequestValidationError: error_handlers.on_validation_error,
            OSError: error_handlers.on_os_error,
            Exception: error_handlers.on_defect,
        },
    )
    for module in (
        schema,
        train,
        trainings,
        model_types,
        datasets,
        models,
        use_model,
        traffic,
        outcomes,
        access,
        figures,
        skew,
        health,
        inference_models,
        repository,
        scoring,
        openapi,
        console,
    ):
        app.include_router(module.router)
    if with_peers:
        app.include_router(internal.router)
    app.mount("/docs/assets", openapi.assets())
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    _make_routes(app)
    return app


def _make_routes(app: FastAPI) -> None:
    """Look for a path once: FastAPI makes what is behind its routes then, here before clients."""
    nowhere = {"type": "http", "method": "GET", "path": "/", "headers": []}
    for route in app.routes:
        route.matches(nowhere)
