"""Large files to and from a server in front of an object store, which takes its time with them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from service.registry.connection import Connection

SIZE = 24 * 2**20
"""Bytes that may take three seconds more than any other request."""
TAKEN = 1.5
"""Seconds that the store takes."""


class Server(BaseHTTPRequestHandler):
    """Answers when a store behind it has moved the file; counts what arrives."""

    received = 0
    store = threading.Event()

    def do_PUT(self) -> None:
        """Take a file."""
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 2**20)))
        Server.received += int(self.headers["content-length"])
        self._answer(b"{}")

    def do_GET(self) -> None:
        """Give a file."""
        self._answer(b"x" * SIZE if "large" in self.path else b"small")

    def _answer(self, body: bytes) -> None:
        Server.store.wait(TAKEN)
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    connection = Connection(f"http://127.0.0.1:{server.server_port}", tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    yield connection
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_large_file_is_given_the_time_that_its_size_needs(
    connection: Connection, tmp_path: Path
) -> None:
    source = connection.source("mlflow-artifacts:/1/artifacts")
    (tmp_path / "large").write_bytes(b"x" * SIZE)

    source.write(tmp_path / "large", "")

    assert Server.received == SIZE
    assert sum(map(len, source.read("large", SIZE))) == SIZE


def test_a_small_file_is_not_waited_for(connection: Connection) -> None:
    source = connection.source("mlflow-artifacts:/1/artifacts")

    with pytest.raises(MlflowException, match="timed out"):
        b"".join(source.read("small", 100))
