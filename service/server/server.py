"""The server: what it listens on, and its graceful shutdown.

The first SIGTERM or SIGINT starts the shutdown: /readyz fails, trainings are stopped so that
waiting clients get an answer, requests that are being answered get `Connection: close`, and those
that are not answered in time get 503. The second signal ends the process immediately.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
from types import FrameType

import uvicorn

from service.api.application import Service
from service.common.errors import StartError
from service.common.settings import Settings
from service.server.fast_path.protocol import fast_path_protocol
from service.server.limits import RESERVE, limited_protocol

logger = logging.getLogger("service")

DRAIN_SECONDS = 20.0
"""How long requests may take once the shutdown has begun."""

SIGTERM_LAST_CALL_SECONDS = 5.0
"""How long an idle connection stays open after SIGTERM. A client that keeps many uses most of them
again in that time and is told to close each; closing one as a request arrives fails the request."""

_KEEP_ALIVE_SECONDS = 75
"""Longer than the pools of common clients: closing a connection as a request arrives fails it."""
_OTHER_FILES = 500
_ABORT_SECONDS = 1.0


class Server(uvicorn.Server):
    """uvicorn's server around the application."""

    drain_seconds = DRAIN_SECONDS
    last_call_seconds = SIGTERM_LAST_CALL_SECONDS

    def __init__(self, app: Service, settings: Settings) -> None:
        super().__init__(server_config(app, settings))
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, accept connections, and then log the address."""
        await super().startup(sockets)
        for listener in sockets or []:
            address = url(listener)
            logger.info("listening on %s; %s/docs shows the API", address, address)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Start the shutdown; at the second signal end immediately."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        if sig == signal.SIGTERM:
            # Replacing a pod may take a few seconds longer; Ctrl-C should not.
            self.server_state.last_call_seconds = self.last_call_seconds  # type: ignore[attr-defined]
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting requests, answer those under way, and close."""
        self._app.drain()
        self.server_state.draining = True  # type: ignore[attr-defined]
        loop = asyncio.get_running_loop()
        timers = (
            loop.call_later(self.drain_seconds, self._give_up),
            loop.call_later(self.drain_seconds + _ABORT_SECONDS, self._abort),
        )
        await super().shutdown(sockets)
        for timer in timers:
            timer.cancel()

    def _give_up(self) -> None:
        """Answer 503 to requests that are still open: uvicorn would answer 500 in plain text."""
        state = self.server_state
        logger.warning("%s requests were not answered in time", len(state.tasks))
        for connection in list(state.connections):
            connection.give_up()  # type: ignore[union-attr]
        for task in list(state.tasks):
            task.cancel()

    def _abort(self) -> None:
        """Close connections that clients keep open by not reading."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def server_config(app: Service, settings: Settings) -> uvicorn.Config:
    """Return the server's configuration, the same in production and in tests."""
    protocol = limited_protocol(settings, app.metrics)
    if settings.short_way:
        protocol = fast_path_protocol(settings, app.metrics, app.predictions, app.keys)
    return uvicorn.Config(
        app,
        http=protocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


def listen(settings: Settings) -> socket.socket:
    """Listen on the port, with enough open files for the connections; raises StartError."""
    _allow_files(settings.max_connections + RESERVE + _OTHER_FILES)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StartError(
            f"Port {settings.port} on {settings.host} cannot be taken: {reason}. "
            "Set SERVICE_PORT to a free one (0 finds one)."
        ) from error


def _allow_files(count: int) -> None:
    """Raise the limit of open files to `count`, or as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        count = min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def url(listener: socket.socket) -> str:
    """Return the address of a socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
