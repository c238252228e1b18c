"""A client of one server on this machine that raises an error for any failed request."""

import http.client
import json
from typing import Any


class BenchFailed(Exception):
    """A measurement cannot be made, or a server gives wrong answers."""


class Client:
    """A keep-alive connection; not thread-safe."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: str = "application/json",
        **headers: str,
    ) -> bytes:
        """Send a request and return the body of the reply; raise BenchFailed unless it is a 2xx."""
        self._connection.request(method, path, body, {"content-type": content_type, **headers})
        response = self._connection.getresponse()
        answer = response.read()
        if not 200 <= response.status < 300:
            start = answer[:300].decode(errors="replace")
            raise BenchFailed(f"{method} {path} is answered {response.status}: {start}")
        return answer

    def ask(self, method: str, path: str, value: object = None) -> Any:
        """Send a value as JSON; return the JSON value of the reply."""
        body = b"" if value is None else json.dumps(value).encode()
        return json.loads(self.send(method, path, body))

    def is_ready(self, path: str) -> bool:
        """Return whether a server listens and answers this path with success."""
        try:
            self.send("GET", path)
        except (OSError, http.client.HTTPException, BenchFailed):
            self._connection.close()
            return False
        return True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
