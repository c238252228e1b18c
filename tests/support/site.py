"""A site without sockets: the server's protocol and real route on fake transports."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from fastapi import FastAPI
from uvicorn.server import ServerState

from service.api.answering import Answering
from service.api.application import RequestScope, Service
from service.api.predictions import Predictions
from service.auth.api_keys import ApiKeys
from service.common.errors import ModelNotFound
from service.common.metrics import Metrics
from service.common.settings import Settings
from service.models.onnx_classifier import OnnxClassifier
from service.rollout.hold import Hold
from service.schema.contract import Schema
from service.schema.decoder import Limits
from service.server.server import server_config
from service.serving.current_model import CurrentModel, LoadedVersion
from service.serving.predictor import Predictor
from service.serving.served_model import ServedModel
from service.worker.onnx_export.builder import Answer, Graph

_REST = FastAPI()


class FakeTransport:
    """A transport that keeps what a protocol writes."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False
        self.ended = False

    def write(self, data: bytes) -> None:
        assert not self.closing, "written to what is closed"
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return default


def classifier_of(width: int) -> OnnxClassifier:
    """Return a two-class graph whose answer to a row does not depend on the other rows."""
    graph = Graph()
    weights = graph.constant(np.linspace(-1, 1, width) + 0.3)
    weighted = graph.multiply("X", weights)
    score = graph.node("ReduceSum", weighted, graph.constant([1], np.int64), keepdims=1)
    second = graph.node("Sigmoid", score)
    first = graph.subtract(graph.constant([[1.0]]), second)
    chances = graph.node("Concat", first, second, axis=1)
    label = graph.node("ArgMax", chances, axis=1, keepdims=0)
    return OnnxClassifier(graph.model(Answer(label, chances), width, 2))


def predictor_for(schema: Schema, version: int = 1) -> Predictor:
    """Return a predictor of `classifier_of` that counts as fast, even on a busy machine."""
    classifier = classifier_of(len(schema.features))
    return Predictor("m", version, schema, classifier, Limits(rows=20))


class NoVersions:
    """What answers beside the model in use: nothing."""

    async def get(self, name: str, version: int | None) -> ServedModel:  # noqa: ARG002
        raise ModelNotFound(name)

    def close(self) -> None:
        pass


def answering_of(
    current_model: CurrentModel,
    hold: Hold,
    metrics: Metrics,
    max_body_bytes: int = 2**20,
    most: int = 64,
) -> Answering:
    """Return what answers from this model alone, in one thread."""
    versions: Any = NoVersions()
    return Answering(current_model, versions, hold, metrics, max_body_bytes, most, threads=1)


class Site:
    """A server of one model; must be created within a running event loop."""

    def __init__(
        self, predictor: Predictor | None, keys: ApiKeys | None = None, **changes: Any
    ) -> None:
        self.current_model, self.hold, self.metrics = CurrentModel(), Hold(), Metrics()
        self.hold.bind(asyncio.get_running_loop())
        if predictor is not None:
            self.current_model.swap(LoadedVersion(predictor, 1, ""))
        settings = Settings(**{"data_dir": Path("none"), **changes})
        self.fast = settings.short_way
        self.answering = answering_of(
            self.current_model, self.hold, self.metrics, settings.max_body_bytes
        )
        # no refusals on a busy machine
        self.answering.thread_batcher.max_queue_seconds = 60.0
        rest = RequestScope(_REST, self.metrics)
        self.scopes = 0
        """The number of requests that came by ASGI."""
        service = Service(Predictions(self.answering), rest, self.metrics, lambda: None, keys)
        self._config = server_config(service, settings)
        self._config.load()
        self._app = self._config.loaded_app
        self._config.loaded_app = self._counted
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]

    async def _counted(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes += 1
        await self._app(scope, receive, send)

    def connect(self) -> tuple[Any, FakeTransport]:
        """Open a connection."""
        make = cast(Any, self._config.http_protocol_class)
        protocol, transport = make(self._config, self.state, {}), FakeTransport()
        protocol.connection_made(transport)
        return protocol, transport

    async def settle(self) -> None:
        """Wait until everything that has begun has ended."""
        for _ in range(4):
            await asyncio.sleep(0)
        for _ in range(100):
            waiting = [task for task in self.state.tasks if not _reads(task)]
            if not waiting:
                return
            await asyncio.wait(waiting, timeout=0.05)

    def counts(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Return every count of a request or a row."""
        names = (
            "requests_total",
            "invalid_inputs_total",
            "instances_total",
            "predict_seconds_count",
        )
        return {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name.removeprefix("service_") in names
        }

    def close(self) -> None:
        """Close all connections, and end the threads."""
        for connection in list(self.state.connections):
            connection.connection_lost(ConnectionResetError())
        self.answering.close()


def _reads(task: "asyncio.Task[None]") -> bool:
    """Return whether a task is waiting for the rest of its request."""
    return any(frame.f_code.co_name == "receive" for frame in _frames(task))


def _frames(task: "asyncio.Task[None]") -> Sequence[Any]:
    coroutine: Any = task.get_coro()
    frames = []
    while coroutine is not None and getattr(coroutine, "cr_frame", None) is not None:
        frames.append(coroutine.cr_frame)
        coroutine = coroutine.cr_await
    return frames
