"""A real `mlflow server` on a free port of this machine, for tests."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.waiting import wait_until


def free_port() -> int:
    """Return a port on which nothing listens at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run a server on a store in `folder` while the block runs; yield its address."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/server.db", "--workers", "1"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    # The server's process leads a group, so that one signal reaches its workers too.
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    uri = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        assert server.poll() is None, (folder / "server.log").read_text()
        try:
            return httpx.get(f"{uri}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(is_up, seconds=120)
        yield uri
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)
