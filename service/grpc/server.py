"""The server of gRPC: what it listens on, its methods, its limits, and its graceful shutdown."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import grpc

from service.api.services import Services
from service.auth.api_keys import ApiKeys
from service.common.errors import ServiceNotFound, StartError
from service.common.settings import Settings
from service.grpc import about
from service.grpc.calls import Call, Calls, Method
from service.grpc.infer import Infer
from service.grpc.messages import NOT_SERVING, SERVING, message
from service.grpc.requests import parsed

logger = logging.getLogger(__name__)

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"

DRAIN_SECONDS = 20.0
"""How long calls may take once the shutdown has begun, as requests over HTTP may."""

_IDLE_MS = 300_000
"""A connection without calls is closed after this time: clients open another one."""

_Answer = Callable[[Services, Any], Awaitable[Any]]


class _Described(NamedTuple):
    request: str
    answer: _Answer
    like: tuple[str, str]
    """The method and path of HTTP that does the same, and needs the same role."""


_METHODS: Mapping[str, _Described] = {
    "ServerLive": _Described("ServerLiveRequest", about.server_live, ("GET", "/v2/health/live")),
    "ServerReady": _Described(
        "ServerReadyRequest", about.server_ready, ("GET", "/v2/health/ready")
    ),
    "ServerMetadata": _Described("ServerMetadataRequest", about.server_metadata, ("GET", "/v2")),
    "ModelReady": _Described(
        "ModelReadyRequest", about.model_ready, ("GET", "/v2/models/name/ready")
    ),
    "ModelMetadata": _Described(
        "ModelMetadataRequest", about.model_metadata, ("GET", "/v2/models/name")
    ),
    "ModelConfig": _Described(
        "ModelConfigRequest", about.model_config, ("GET", "/v2/models/name/config")
    ),
    "RepositoryIndex": _Described(
        "RepositoryIndexRequest", about.repository_index, ("POST", "/v2/repository/index")
    ),
    "RepositoryModelLoad": _Described(
        "RepositoryModelLoadRequest",
        about.repository_model_load,
        ("POST", "/v2/repository/models/name/load"),
    ),
    "RepositoryModelUnload": _Described(
        "RepositoryModelUnloadRequest",
        about.repository_model_unload,
        ("POST", "/v2/repository/models/name/unload"),
    ),
}
"""Every method but ModelInfer."""


class GrpcServer:
    """Answers calls between `start` and `stop`, on one event loop."""

    def __init__(self, services: Services, keys: ApiKeys | None) -> None:
        """Raises StartError where the port cannot be taken."""
        settings = services.settings
        self._services = services
        self._address = _address(settings)
        self._calls = Calls(keys, services.metrics, settings.idle_seconds, settings.max_body_bytes)
        self._server: Any = None
        self._stopping: asyncio.Task[None] | None = None
        _check_port(settings)

    async def start(self) -> None:
        """Accept calls; raises StartError where the port cannot be taken."""
        settings = self._services.settings
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.max_metadata_size", settings.max_header_bytes),
                ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
                ("grpc.max_concurrent_streams", settings.max_connections),
                ("grpc.max_connection_idle_ms", _IDLE_MS),
                ("grpc.server_handshake_timeout_ms", int(settings.idle_seconds * 1000)),
                # No second process may listen on the port unnoticed.
                ("grpc.so_reuseport", 0),
            ),
            maximum_concurrent_rpcs=settings.max_connections,
        )
        server.add_generic_rpc_handlers(self._handlers())
        try:
            server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise _taken(settings, str(error)) from error
        await server.start()
        self._server = server
        logger.info("listening on %s for gRPC", self._address)

    def drain(self) -> None:
        """Begin to stop: calls under way are answered, and new ones refused."""
        if self._server is not None and self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(
                self._server.stop(DRAIN_SECONDS)
            )

    async def stop(self) -> None:
        """Stop, and wait for it."""
        self.drain()
        if self._stopping is not None:
            await self._stopping

    def _handlers(self) -> tuple[Any, ...]:
        route = f"{SERVICE}/ModelInfer"
        infer = Infer(self._services.answering, route)
        like = ("POST", "/v2/models/name/infer")
        methods = {"ModelInfer": self._calls.handler(route, infer, like, counts=True)}
        for name, described in _METHODS.items():
            method = self._method(described.request, described.answer)
            methods[name] = self._calls.handler(f"{SERVICE}/{name}", method, described.like)
        check = self._method("HealthCheckRequest", _check_health)
        health = {"Check": self._calls.handler(f"{HEALTH}/Check", check, ("GET", "/readyz"))}
        return (
            grpc.method_handlers_generic_handler(SERVICE, methods),
            grpc.method_handlers_generic_handler(HEALTH, health),
        )

    def _method(self, request: str, answer: _Answer) -> Method:
        kind = message(request)

        async def answered(call: Call, body: bytes) -> bytes:
            reply = await answer(self._services, parsed(kind, body))
            await call.send_headers()
            return bytes(reply.SerializeToString())

        return answered


async def _check_health(services: Services, request: Any) -> Any:
    if request.service not in ("", SERVICE):
        raise ServiceNotFound(request.service)
    status = SERVING if about.is_ready(services) else NOT_SERVING
    return message("HealthCheckResponse")(status=status)


def _address(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.grpc_port}"


def _check_port(settings: Settings) -> None:
    """Raise StartError where the port cannot be taken, before the application starts."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.grpc_port), family=family).close()
    except OSError as error:
        raise _taken(settings, os.strerror(error.errno or 0)) from error


def _taken(settings: Settings, reason: str) -> StartError:
    return StartError(
        f"Port {settings.grpc_port} on {settings.host} cannot be taken for gRPC: {reason}. "
        "Set SERVICE_GRPC_PORT to a free one (0: no gRPC)."
    )
