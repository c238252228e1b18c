"""Requests to a site without sockets, and their outcomes."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

from service.schema.contract import Feature, Schema
from service.serving.predictor import Predictor
from tests.support.site import FakeTransport, Site

SCHEMA = Schema((Feature("x", "number"), Feature("y", "number")), ("a", "b"))
ROW = b'{"instances": [[1.5, 2]]}'
JSON = b"content-type: application/json"
KEY = b"authorization: Bearer mine"


def request(
    body: bytes = ROW,
    *headers: bytes,
    line: bytes = b"POST /predict HTTP/1.1",
) -> bytes:
    """Encode a request."""
    lines = [line, b"host: x", *(headers or (JSON,)), b"content-length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def serve_site(predictor: Predictor | None, scene: Callable[[Site], Coroutine[Any, Any, Any]],
           **changes: Any) -> Any:  # fmt: skip
    async def run() -> Any:
        site = Site(predictor, **changes)
        try:
            return await scene(site)
        finally:
            site.close()

    return asyncio.run(run())


def ask(site: Site, *data: bytes) -> list[tuple[Any, FakeTransport]]:
    """Send each of these on a connection of its own, in one batch."""
    connections = [site.connect() for _ in data]
    for (protocol, _), segment in zip(connections, data, strict=True):
        protocol.data_received(segment)
    return connections


async def crowd(site: Site) -> None:
    """Create concurrent load, so that rows are queued for the next batch."""
    ask(site, request(), request())
    await site.settle()


def status(transport: FakeTransport) -> int:
    """Return the status of the first reply."""
    return int(transport.written.split(b" ", 2)[1])


def comparable(written: bytes) -> bytes:
    """Remove what differs between replies: generated ids, and jitter."""
    return re.sub(rb"(x-request-id: )[0-9a-f]{32}|(retry-after: )\d+", rb"\1\2", written)
