"""`kubectl port-forward`, by which a user reaches the service from this machine only."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.e2e.cluster import Cluster
from tests.e2e.waiting import wait_until

HOST = "127.0.0.1"


class Forward:
    """A local port that forwards to a Service or pod, and reconnects when its pod goes."""

    def __init__(self, cluster: Cluster, target: str, port: int) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._command = (
            *("kubectl", "--namespace", cluster.namespace, "port-forward", f"--address={HOST}"),
            *(target, f"{self.port}:{port}"),
        )
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "Forward":
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                self._process.terminate()
        self._keeper.join(10)

    def _keep(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                if self._stopped.is_set():
                    return
                self._process = subprocess.Popen(
                    self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            self._process.wait()
            self._stopped.wait(0.3)


def free_port() -> int:
    """Return a free port of this machine."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def open_api(cluster: Cluster, pod: str = "") -> Iterator[httpx.Client]:
    """Return a client of the service through its Service or of one pod, once it answers."""
    target, port = (f"pod/{pod}", 8000) if pod else (f"service/{cluster.name('api')}", 80)
    with (
        Forward(cluster, target, port) as forward,
        httpx.Client(base_url=forward.url, timeout=60, trust_env=False) as client,
    ):
        wait_until(f"an answer through {target}", lambda: _answers(client), 30, pause=0.2)
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz", timeout=5).is_success
    except httpx.TransportError:
        return False
