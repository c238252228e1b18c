"""uvicorn's HTTP protocol with limits of size, time and connections.

uvicorn waits indefinitely for the rest of a request, and accepts headers of any size and any number
of connections. Here all three are bounded. A request that arrives in one segment pays almost
nothing for it: bytes are counted once a segment, and checked closely only if there are many, or
more to come.

It depends on uvicorn's internals, so uvicorn's version is pinned.
"""

import asyncio
from time import monotonic
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from service.common.errors import Overloaded
from service.common.metrics import Metrics
from service.common.settings import Settings
from service.server.closing import ClosingProtocol, LingeringTransport
from service.server.flow_control import TimedFlowControl

LEAST_RATE = 16 * 1024
"""Bytes a second at which a body must arrive, beyond the idle seconds that each may take."""

_SWEEP_SECONDS = 1.0
_SLACK_BYTES = 4096
"""For the method, line ends and colons of a head, which the limits do not count."""
RESERVE = 50
"""Connections beyond the maximum that are kept for probes."""
_RESERVE_SECONDS = 2.0
_PROBES = (b"/healthz", b"/readyz", b"/metrics")


class RequestRejected(Exception):
    """Stops the parser at a request that has been answered already."""


class LimitedProtocol(ClosingProtocol):
    """One connection.

    Beyond the maximum number of connections, fifty more are accepted for one probe each, which must
    arrive within two seconds; others get 503. So a full service does not look dead. A client that
    takes those fifty as well makes probes fail.
    """

    max_header_bytes: int
    max_url_bytes: int
    max_connections: int
    idle_seconds: float
    small: int
    """A head of this many bytes is within every limit."""
    most: int
    """A head of more bytes is beyond the limits. No more bytes are parsed at a time."""

    flow: TimedFlowControl
    in_reserve = False
    unparsed = 0
    """Bytes since the message began, or since the last piece of its body."""
    received = 0
    """Bytes of the incomplete body so far."""
    counted = 0
    plain_head: bytes | None = None
    """The head of a request that asks for an upgrade, rewritten without that."""
    awaited: object = None
    """The incomplete head or body: its scope, or its cycle."""
    since: float | None = None
    """When the wait for the rest began."""
    answered_at = 0.0
    """When the last answer was written."""

    def on_response_complete(self) -> None:
        """Continue with the next pipelined request, if there is one.

        As uvicorn's, but without a timer: the sweep closes idle connections.
        """
        self.server_state.total_requests += 1
        self.answered_at = monotonic()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def connection_made(self, transport: Any) -> None:
        """Start the deadline of the first request."""
        self.connections.add(self)
        self.transport = transport
        self.flow = TimedFlowControl(transport)
        self.since = monotonic()
        state: Any = self.server_state
        if not getattr(state, "swept", False):
            state.swept = True
            self.loop.call_later(_SWEEP_SECONDS, _sweep, self.loop, state)
        if len(self.connections) > self.max_connections:
            self.in_reserve = self.close_after_next = True
            self.idle_seconds = min(self.idle_seconds, _RESERVE_SECONDS)
            if len(self.connections) > self.max_connections + RESERVE:
                self._turn_away()
                transport.close()
        elif getattr(state, "draining", False):
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Hand what arrived to the parser, in pieces small enough for the limits to work."""
        if len(data) <= self.most:
            self._parse(data)
            return
        whole = memoryview(data)
        for start in range(0, len(data), self.most):
            self._parse(whole[start : start + self.most])

    def _parse(self, data: bytes | memoryview) -> None:
        if self.rejected:
            return
        self.unparsed += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.refuse(400, "The request is not well-formed HTTP/1.1.")
            return
        if self.done is not self.scope:
            self._await_rest(len(data))
        elif self.scope is not None:
            self.unparsed = 0
            self.since = None

    def _feed(self, data: bytes | memoryview) -> None:
        """Feed the parser; raises HttpParserError.

        It stops after a head that asks for an upgrade, and would not parse the body. Such a request
        is answered without an upgrade: a new parser gets the head again, without that wish.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            head, self.plain_head = self.plain_head, None
            if head is None:  # CONNECT: what follows is not HTTP
                return
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(head)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is over a limit."""
        if self.parser.should_upgrade():
            if self.parser.get_method() != b"CONNECT":
                self.plain_head = self._head_without_upgrade()
                return
            self.close_after_next = True
        if self.unparsed > self.small:
            self._check_head()
        if not self.url.startswith(b"/"):
            self._check_host()
        if self.in_reserve and self.url.partition(b"?")[0] not in _PROBES:
            self._turn_away()
            raise RequestRejected
        if self.server is None:
            self._find_addresses()
        super().on_headers_complete()
        # Trailers of a chunked body are not headers of the request.
        self.headers = []
        if self.close_after_next:
            self.cycle.keep_alive = False

    def _find_addresses(self) -> None:
        """Look up the addresses of both ends; uvicorn does so for every connection."""
        self.server = get_local_addr(self.transport)
        self.client = get_remote_addr(self.transport)
        self.scheme = "https" if is_ssl(self.transport) else "http"
        # The scope was made at the first byte of the message.
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope.update(server=self.server, client=self.client, scheme=self.scheme)

    def _head_without_upgrade(self) -> bytes:
        """Return the head that arrived, without the wish for an upgrade."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                value = b", ".join(o for o in options if o.lower() != b"upgrade")
            lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        cycle = self.cycle
        self.received += len(body)
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        if self.plain_head is not None:
            return
        self.done = self.scope
        cycle = self.cycle
        if cycle.keep_alive and not self.parser.should_keep_alive():
            # The trailers said so; the parser reads nothing more.
            self.shutdown()
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _await_rest(self, size: int) -> None:
        """Bound an incomplete head or body in bytes and time; `size` bytes of it arrived now."""
        in_body = self.in_body()
        part: object = self.cycle if in_body else self.scope
        if in_body and self.cycle.transport is self.transport:
            self.cycle.transport = LingeringTransport(self)  # type: ignore[assignment]
        if part is not self.awaited:
            self.awaited = part
            self.since = monotonic()
            self.flow.restart(self.since)
            self.received = self.counted = 0
            self.unparsed = 0 if in_body else min(self.unparsed, size)
        elif in_body and self.received != self.counted:
            self.counted = self.received
            self.unparsed = 0
        if not in_body and len(self.url) > self.max_url_bytes:
            self._refuse_url()
        elif self.unparsed > self.most:
            self._refuse_headers()

    def _check_head(self) -> None:
        if len(self.url) > self.max_url_bytes:
            self._refuse_url()
            raise RequestRejected
        if sum(len(name) + len(value) for name, value in self.headers) > self.max_header_bytes:
            self._refuse_headers()
            raise RequestRejected

    def _check_host(self) -> None:
        """Refuse an absolute URL of another host than the one that the Host header names."""
        scheme, separator, rest = self.url.partition(b"://")
        if separator and scheme.lower() in (b"http", b"https"):
            host = next((value for name, value in self.headers if name == b"host"), b"")
            if rest.partition(b"/")[0].lower() != host.strip().lower():
                self.refuse(400, "The URL names another host than the Host header does.")
                raise RequestRejected

    def close_if_silent(self, now: float) -> None:
        """After the deadline answer 408 to an incomplete request, and close idle connections."""
        if self.rejected:
            self.close_if_answered()
            return
        if self.since is None:
            if now - self.answered_at >= self.timeout_keep_alive and self.is_idle():
                self.rejected = True
                self.transport.close()
            return
        if self.flow.read_paused:
            return
        in_body = self.in_body()
        if in_body and self.cycle.waiting_for_100_continue:
            self.since = now
        allowed = self.idle_seconds + self.flow.paused_seconds
        if in_body:
            allowed += self.received / LEAST_RATE
        # The next sweep is a second later; half of the time is granted in any case.
        if now - self.since < max(allowed - _SWEEP_SECONDS, allowed / 2):
            return
        if self.done is self.scope:
            self.rejected = True
            self.transport.close()
        else:
            self.refuse(408, f"The rest of the request did not arrive within {allowed:.3g} s.")

    def _turn_away(self) -> None:
        self.refuse_with(Overloaded("connections are open"))

    def _refuse_url(self) -> None:
        self.refuse(400, f"The URL is over the limit of {self.max_url_bytes:,} bytes.")

    def _refuse_headers(self) -> None:
        limit = self.max_header_bytes
        self.refuse(431, f"The headers are over the limit of {limit:,} bytes in sum.")


def _sweep(loop: asyncio.AbstractEventLoop, server_state: Any) -> None:
    """Check all connections once a second: cheaper than a timer for each request."""
    now = monotonic()
    for connection in list(server_state.connections):
        connection.close_if_silent(now)
    loop.call_later(_SWEEP_SECONDS, _sweep, loop, server_state)


def limited_protocol(settings: Settings, metrics: Metrics) -> type[LimitedProtocol]:
    """Return the protocol class for these settings."""
    limits = {
        "max_header_bytes": settings.max_header_bytes,
        "max_url_bytes": settings.max_url_bytes,
        "max_connections": settings.max_connections,
        "idle_seconds": settings.idle_seconds,
        "metrics": metrics,
        "small": min(settings.max_header_bytes, settings.max_url_bytes),
        "most": settings.max_header_bytes + settings.max_url_bytes + _SLACK_BYTES,
    }
    return type("ConfiguredProtocol", (LimitedProtocol,), limits)
