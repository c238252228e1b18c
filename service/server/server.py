"""The server's life: what it listens on, when it says so, and how it goes.

The first SIGTERM or SIGINT begins the end: /readyz says so, trainings are stopped so that whoever
waits for one gets an answer, what is under way is answered with `Connection: close`, and what is
not answered in time gets 503. The second signal ends the process at once.
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
"""How long requests that are under way may take when the server goes."""

_KEEP_ALIVE_SECONDS = 75
"""Longer than the pools of usual clients: a connection closed just as a request comes fails it."""
_OTHER_FILES = 500
_ABORT_SECONDS = 1.0


class Server(uvicorn.Server):
    """uvicorn's server around the application."""

    drain_seconds = DRAIN_SECONDS

    def __init__(self, app: Service, settings: Settings) -> None:
        super().__init__(server_config(app, settings))
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, begin to accept connections, and then say so."""
        await super().startup(sockets)
        for listener in sockets or []:
            address = url(listener)
            logger.info("listening on %s; %s/docs shows the API", address, address)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to end; at the second signal end at once."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell everybody, answer what is under way, and close."""
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
        """Answer 503 to what is still under way: uvicorn would answer 500, as plain text."""
        state = self.server_state
        logger.warning("%s requests are not answered in time", len(state.tasks))
        for connection in list(state.connections):
            connection.give_up()  # type: ignore[union-attr]
        for task in list(state.tasks):
            task.cancel()

    def _abort(self) -> None:
        """Close what a client keeps open by not reading."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def server_config(app: Service, settings: Settings) -> uvicorn.Config:
    """Give the server's configuration, the same in production and in tests."""
    protocol = limited_protocol(settings, app.metrics)
    if settings.short_way:
        protocol = fast_path_protocol(settings, app.metrics, app.predict, app.keys)
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
    """Take the port, with room for the connections; raises StartError."""
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
    """Give the address of a socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
