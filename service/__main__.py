"""Starts the service: settings, logs, the application, the server."""

import logging
import os
import socket
import sys

import uvicorn

from service.app import Service, create_app
from service.edge import edge_protocol
from service.errors import StartError
from service.logs import configure_logs
from service.settings import Settings, read_settings

logger = logging.getLogger("service")

_KEEP_ALIVE_SECONDS = 75
"""Longer than the pools of usual clients: a connection closed just as a request comes fails it."""
_DRAIN_SECONDS = 20


def main() -> int:
    """Serve until a signal; 1 where it cannot start."""
    try:
        settings = read_settings()
        configure_logs(settings.log_level)
        listener = _listen(settings)
        app = create_app(settings)
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    host, port = listener.getsockname()[:2]
    logger.info(
        "listening on http://%s:%s; http://%s:%s/docs shows the API", host, port, host, port
    )
    server = uvicorn.Server(server_config(app, settings))
    server.run(sockets=[listener])
    return 0 if server.started else 1


def server_config(app: Service, settings: Settings) -> uvicorn.Config:
    """Give the server's configuration, the same in production and in tests."""
    return uvicorn.Config(
        app,
        http=edge_protocol(settings, app.metrics),
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StartError(
            f"Port {settings.port} on {settings.host} cannot be taken: {reason}. "
            "Set SERVICE_PORT to a free one (0 finds one)."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
