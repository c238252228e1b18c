"""Another server, such as a proxy or another tenant's, may answer at MLflow's address."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from service.common.errors import RegistryUnavailable
from service.registry.mlflow_registry import MlflowRegistry

MLFLOWS = b'{"model_versions": []}'


class Lines(ThreadingHTTPServer):
    """Forwards the first connection to another server, and all others to MLflow."""

    daemon_threads = True
    connections = 0
    strangers = (404, b"")


class PredictReplies(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Lines

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.of_stranger = self.server.connections == 1

    def do_GET(self) -> None:
        status, body = self.server.strangers if self.of_stranger else (200, MLFLOWS)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def lines(status: int, body: bytes) -> Iterator[str]:
    with Lines(("127.0.0.1", 0), PredictReplies) as server:
        server.strangers = (status, body)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b""), (403, b"denied"), (200, b"<html>Sign in</html>"), (404, b"[]")],
)
def test_a_connection_to_a_stranger_is_not_kept(tmp_path: Path, status: int, body: bytes) -> None:
    with lines(status, body) as uri:
        registry = MlflowRegistry(uri, tmp_path)

        with pytest.raises(RegistryUnavailable, match="another server answers at its address"):
            registry.newest_use()
        assert registry.newest_use() is None


def test_a_404_from_another_server_is_not_reported_as_missing(tmp_path: Path) -> None:
    with lines(404, b"") as uri:
        registry = MlflowRegistry(uri, tmp_path)

        with pytest.raises(RegistryUnavailable, match="status 404"):
            registry.get_version("iris", 1)
