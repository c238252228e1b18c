"""The application put together: the only place that knows everything."""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, cast

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service import __version__, health, problems
from service.api import (
    datasets,
    internal,
    model_types,
    models,
    openapi,
    raised,
    schema,
    train,
    use_model,
)
from service.api.access import Access, header
from service.api.predict import Predict, Receive, Scope, Send
from service.api.state import Lifespan, State
from service.beats import ORPHAN_SECONDS
from service.bulk import Bulk
from service.children import Children, JobLimits
from service.cores import Cores
from service.course import Limits as TrainingLimits
from service.course import Workshop
from service.data_folder import DataFolder
from service.errors import ServiceError
from service.gate import Gate
from service.keys import Keys
from service.last_use import LastUse
from service.listing import Listing
from service.loader import Loader
from service.logs import request_id
from service.metrics import Metrics
from service.model import Registry
from service.model_types import ModelTypes
from service.peers import NamedPeers
from service.poller import Poller
from service.replica import LocalReplica
from service.replicas import Alone, Replicas
from service.retention import Retention
from service.schema.decoder import Limits
from service.settings import Settings, read_settings
from service.slot import Slot
from service.starter import Starter
from service.trainer import Trainer
from service.uploads import Uploads

logger = logging.getLogger(__name__)

_THREADS = 2
_AGAIN_SECONDS = 5.0

_DESCRIPTION = (
    "Trains scikit-learn classifiers on request, versions them in MLflow and serves the one in use."
)


class Service:
    """The ASGI application: `POST /predict` by itself, everything else by FastAPI."""

    def __init__(
        self,
        predict: Predict,
        rest: "RequestScope",
        metrics: Metrics,
        drain: Callable[[], None],
        keys: Keys | None = None,
    ) -> None:
        self.keys = keys
        self._app = Access(self._dispatch, keys, metrics) if keys else self._dispatch
        self.predict = predict
        self._rest = rest
        self.metrics = metrics
        self.drain = drain
        """Says that the process is going: not ready any more, and trainings are to stop."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Dispatch one request, or the lifespan."""
        await self._app(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            await self.predict(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


class RequestScope:
    """Around every other route: the request's id, counts, and an answer for a defect."""

    def __init__(self, app: FastAPI, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] != "http":
            await self._app(scope, cast(Any, receive), cast(Any, send))
            return
        sent = header(scope, b"x-request-id")
        identifier = problems.request_id_of(sent)
        request_id.set(identifier)
        status = 0

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                known = any(name == b"x-request-id" for name, _ in headers)
                if (sent is not None or status >= 400) and not known:
                    message["headers"] = [*headers, (b"x-request-id", identifier.encode())]
            await send(message)

        start = time.perf_counter()
        # HEAD is a GET whose body the server keeps to itself.
        routed = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._app(routed, cast(Any, receive), cast(Any, watched))
        except ClientDisconnect:
            return
        except Exception:
            # Whatever comes here is a defect of ours; Starlette has answered it: raised.on_defect.
            logger.exception("%s %s met a defect", scope["method"], scope["path"])
        route = getattr(routed.get("route"), "path", "unmatched")
        self._metrics.requests.labels(route, _method(scope["method"]), str(status)).inc()
        asked = scope["method"] in ("GET", "HEAD")
        # A probe asks every second, and what it hears is in the metrics.
        if not asked or (status >= 500 and route != "/readyz"):
            extra = {"status": status, "seconds": round(time.perf_counter() - start, 4)}
            logger.info("%s %s", scope["method"], route, extra=extra)


def _method(method: str) -> str:
    """Give a method as a label; whatever a client makes up is one."""
    return method if method in ("GET", "POST", "DELETE", "HEAD", "PUT", "PATCH") else "other"


def create_app(
    settings: Settings | None = None,
    registry: Registry | None = None,
    children: Children | None = None,
) -> Service:
    """Make the application; raises StartError where it cannot start.

    Tests pass all; production passes none.
    """
    settings = read_settings() if settings is None else settings
    keys = None if settings.api_keys_file is None else Keys(settings.api_keys_file)
    folder = DataFolder(settings.data_dir)
    if registry is None:
        from service.registry import MlflowRegistry

        registry = MlflowRegistry(settings.mlflow_uri, settings.data_dir)
    metrics = Metrics()
    slot = Slot()
    gate = Gate()
    predict = Predict(
        slot, gate, metrics, settings.max_body_bytes, settings.max_in_flight, threads=_THREADS
    )
    children = Children(settings.children_idle_seconds) if children is None else children
    state = _state(settings, registry, children, metrics, slot, gate, folder)
    stopping = threading.Thread(target=state.trainer.stop, name="drain", daemon=True)

    def drain() -> None:
        if not state.draining:
            state.draining = True
            stopping.start()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Lifespan]:
        gate.bind(asyncio.get_running_loop())
        state.children.warm()
        await state.run(_begin, state)
        yield {"service": state}
        state.draining = True
        state.stopping.set()
        state.poller.stop()
        state.listing.close()
        await state.run(state.trainer.stop)
        state.children.close()
        predict.close()
        state.cores.close()
        state.replicas.close()
        state.steps.shutdown(wait=False, cancel_futures=True)
        state.pool.shutdown(wait=False, cancel_futures=True)
        state.registry.close()
        folder.close()

    app = FastAPI(
        title="mlops-desafio",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            ServiceError: raised.on_service_error,
            HTTPException: raised.on_http_exception,
            OSError: raised.on_os_error,
            Exception: raised.on_defect,
        },
    )
    for module in (
        schema, train, model_types, datasets, models, use_model, internal, health, openapi,
    ):  # fmt: skip
        app.include_router(module.router)
    app.mount("/docs/assets", openapi.assets())
    app.openapi = lambda: openapi.openapi(app, slot, settings.max_rows)  # type: ignore[method-assign]
    return Service(predict, RequestScope(app, metrics), metrics, drain, keys)


def _state(
    settings: Settings,
    registry: Registry,
    children: Children,
    metrics: Metrics,
    slot: Slot,
    gate: Gate,
    folder: DataFolder,
) -> State:
    identifier = uuid.uuid4().hex[:12]
    cores = Cores()
    loader = Loader(
        registry,
        children,
        folder.cache,
        Limits(settings.max_rows, settings.max_json_depth),
        settings.allow_pickle,
        metrics.classifiers_lost.inc,
        cores,
    )
    last_use = LastUse(folder.last_use)
    local = LocalReplica(identifier, registry, loader, slot, metrics, last_use, gate)
    key = settings.peer_key.get_secret_value()
    peers = NamedPeers(settings.replicas, identifier, key) if settings.replicas else Alone()
    replicas = Replicas(local, peers, registry, metrics)
    limits = TrainingLimits(
        settings.trainings_at_once,
        settings.trainings_queued,
        JobLimits(
            settings.training_seconds, settings.training_memory_bytes, settings.training_disk_bytes
        ),
    )
    trainer = Trainer(identifier, Workshop(registry, children, replicas, limits), metrics)
    uploads = Uploads(registry, children, folder.uploads, settings)
    return State(
        settings=settings,
        metrics=metrics,
        slot=slot,
        registry=registry,
        loader=loader,
        local=local,
        replicas=replicas,
        poller=Poller(local, replicas, settings.poll_seconds, metrics),
        children=children,
        trainer=trainer,
        listing=Listing(registry, loader),
        model_types=ModelTypes(children, folder.work),
        uploads=uploads,
        bulk=Bulk(children, settings),
        cores=cores,
        starter=Starter(settings.starter_model, registry, replicas, uploads, trainer),
        retention=Retention(registry, settings.keep_failed_days, settings.keep_datasets_days),
    )


def _begin(state: State) -> None:
    """Serve what is in use before the first request is taken; the rest goes on beside it.

    With other replicas the first request may be theirs, and is needed for that.
    """
    if not state.settings.replicas:
        state.poller.poll()
    state.trainer.start()
    threading.Thread(target=_catch_up, args=(state,), name="starter", daemon=True).start()
    state.poller.start()


def _catch_up(state: State) -> None:
    """Close what an earlier process left open, make the starter model, and then sweep.

    Tried until it is done: MLflow may come up after this service.
    """
    # Alone in a data folder, every open training is one that a killed process left.
    alone = not state.settings.mlflow_uri
    while not state.stopping.wait(0):
        try:
            state.trainer.beats.close_orphans(0 if alone else ORPHAN_SECONDS)
            if state.starter.step():
                break
        except ServiceError as error:
            logger.warning("%s", error)
        state.stopping.wait(_AGAIN_SECONDS)
    state.retention.run(state.stopping)
