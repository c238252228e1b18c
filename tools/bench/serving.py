"""Runs the servers to compare with like the service, but on uvicorn's own protocol.

The settings are those of `service.server.server.server_config`, so that only the application and
the protocol class differ.
"""

import socket
import sys
from typing import Any

import uvicorn


def serve(app: Any) -> None:
    """Serve an application on a free port of this machine; write the address to stderr."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    sys.stderr.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stderr.flush()
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )
    uvicorn.Server(config).run(sockets=[listener])
