"""The server's protocol: uvicorn's, with the limits and deadlines that it has not.

uvicorn waits for ever on half a header and takes headers of any size. Here both are bounded, a
connection that goes silent in the middle of a request is closed, and what is refused before there
is a request to route gets a problem like any other.

It rests on uvicorn's internals, which is why its version is pinned.
"""

import asyncio
from http import HTTPStatus
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import problems
from service.metrics import Metrics
from service.settings import Settings

_SWEEP_SECONDS = 1.0


class EdgeProtocol(HttpToolsProtocol):
    """One connection."""

    max_header_bytes: int
    max_url_bytes: int
    idle_seconds: float
    metrics: Metrics

    waiting_since: float | None = None
    """When the client was last heard of while the rest of its request is awaited."""
    refused = False
    header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to count the time until the first request."""
        super().connection_made(transport)
        self.waiting_since = monotonic()
        if not getattr(self.server_state, "swept", False):
            self.server_state.swept = True  # type: ignore[attr-defined]
            self.loop.call_later(_SWEEP_SECONDS, _sweep, self.loop, self.server_state)

    def data_received(self, data: bytes) -> None:
        """Hand what arrived to the parser, unless the connection was refused."""
        if self.refused:
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to count the bytes of a request's head, and the time that it takes."""
        super().on_message_begin()
        self.header_bytes = 0
        self.waiting_since = monotonic()

    def on_url(self, url: bytes) -> None:
        """Collect the URL; too long a one is refused."""
        super().on_url(url)
        if len(self.url) > self.max_url_bytes:
            self._refuse(400, f"The URL is over the limit of {self.max_url_bytes:,} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; too much in sum is refused."""
        self.header_bytes += len(name) + len(value)
        if self.header_bytes > self.max_header_bytes:
            limit = self.max_header_bytes
            self._refuse(431, f"The headers are over the limit of {limit:,} bytes in sum.")
        elif not self.refused:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head was refused."""
        if not self.refused:
            self.waiting_since = monotonic()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Collect a part of the body."""
        if not self.refused:
            self.waiting_since = monotonic()
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: from here on the client waits for us."""
        if not self.refused:
            self.waiting_since = None
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is no HTTP, as uvicorn's parser finds it, with a problem of ours."""
        if not self.refused:
            self._refuse(400, "The request is not well-formed HTTP/1.1.")

    def close_if_silent(self, now: float) -> None:
        """Answer 408 to half a request, close a connection without one, after the deadline."""
        since = self.waiting_since
        if since is None or self.refused or now - since < self.idle_seconds - _SWEEP_SECONDS:
            return
        if self.scope is None:
            self.refused = True
            self.transport.close()
        else:
            self._refuse(408, f"The rest of the request did not come in {self.idle_seconds:g} s.")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer with a problem, and close: the rest of the connection cannot be understood."""
        if self.refused:
            return
        self.refused = True
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            answer = problems.plain(status, detail, problems.request_id_of(None))
            lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
            lines += [name + b": " + value for name, value in answer.headers]
            lines += [b"connection: close", b"", answer.body]
            self.transport.write(b"\r\n".join(lines))
            self.metrics.requests.labels("edge", "", str(status)).inc()
            self.metrics.invalid.labels(answer.slug).inc()
        self.transport.close()


def _sweep(loop: asyncio.AbstractEventLoop, server_state: Any) -> None:
    """Look at all connections once a second: cheaper than a timer a request."""
    now = monotonic()
    for connection in list(server_state.connections):
        connection.close_if_silent(now)
    loop.call_later(_SWEEP_SECONDS, _sweep, loop, server_state)


def edge_protocol(settings: Settings, metrics: Metrics) -> type[EdgeProtocol]:
    """Give the protocol class for these settings."""
    limits = {
        "max_header_bytes": settings.max_header_bytes,
        "max_url_bytes": settings.max_url_bytes,
        "idle_seconds": settings.idle_seconds,
        "metrics": metrics,
    }
    return type("ConfiguredProtocol", (EdgeProtocol,), limits)
