"""Bodies in gzip: requests are inflated as they arrive, large replies compressed where asked for.

No other part of the service knows: limits of size hold for what was inflated.
"""

import asyncio
import zlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.common.errors import InvalidRequest

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 256 * 1024
"""The most bytes that are inflated at a time: about a millisecond of the event loop."""

_SLACK = 64 * 1024
"""The bytes by which a stream may be longer than what it inflates to: blocks may be empty, and a
body of nothing else would be within every limit of size."""

WORTH_BYTES = 64 * 1024
"""Replies of up to this size are sent as they are."""
_LEVEL = 1
"""Of zlib: on a local network the time counts more than the last tenth of the size."""


class CompressionMiddleware:
    """Inflates requests with `Content-Encoding: gzip`, and compresses large replies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "http":
            encoding, packed = b"", False
            for name, value in scope["headers"]:  # every request pays for this
                if name == b"content-encoding":
                    # A body that was encoded twice is refused like one in another encoding.
                    encoding += value
                elif name == b"accept-encoding":
                    packed = packed or accepts_gzip(value)
            if packed:
                send = _Compressed(send).send
            if encoding and encoding.strip().lower() == b"gzip":
                scope, receive = _plain(scope), _Inflated(receive).receive
        await self._app(scope, receive, send)


def _plain(scope: Scope) -> Scope:
    """Return the scope of the same request without its encoding."""
    left_out = (b"content-encoding", b"content-length")
    headers = [header for header in scope["headers"] if header[0] not in left_out]
    return {**scope, "headers": headers}


def accepts_gzip(value: bytes) -> bool:
    """Return whether an `Accept-Encoding` header allows gzip."""
    qualities: dict[bytes, bytes] = {}
    for part in value.lower().split(b","):
        coding, _, parameters = part.partition(b";")
        qualities[coding.strip()] = parameters.strip().removeprefix(b"q=").strip()
    quality = qualities.get(b"gzip", qualities.get(b"*", b"0"))
    return not quality or any(digit in b"123456789" for digit in quality)


class _Inflated:
    """The body of a request, inflated in pieces; a body that is not gzip raises InvalidRequest."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._stream = zlib.decompressobj(_GZIP)
        self._arrived = False
        """Whether the whole body has arrived, inflated or not."""
        self._spare = _SLACK
        """Bytes that may still arrive without any that are inflated."""

    async def receive(self) -> Message:
        """Return the next piece."""
        if not self._stream.unconsumed_tail:
            if self._arrived:  # only a disconnect can come
                return await self._receive()
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            data = message.get("body", b"")
            self._spare -= len(data)
            self._arrived = not message.get("more_body", False)
        else:
            # Others get their turn between two pieces of a body that inflates a thousandfold.
            await asyncio.sleep(0)
            data = self._stream.unconsumed_tail
        try:
            body = self._stream.decompress(data, _PIECE)
        except zlib.error as error:
            raise InvalidRequest("The body is not what Content-Encoding says: no gzip.") from error
        self._spare += 2 * len(body)
        if self._spare < 0:
            raise InvalidRequest("The gzip body is longer than what it inflates to.")
        return {"type": "http.request", "body": body, "more_body": self._is_unfinished()}

    def _is_unfinished(self) -> bool:
        """Return whether more is to come; raises InvalidRequest at the wrong end of the stream."""
        if self._stream.unused_data:
            raise InvalidRequest("The body goes on behind its gzip stream.")
        if self._stream.unconsumed_tail or not self._arrived:
            return True
        if not self._stream.eof:
            raise InvalidRequest("The gzip body is cut off.")
        return False


class _Compressed:
    """Compresses a reply that is one message, or sends it as it is where it is small."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        """Take the next message of the reply."""
        if message["type"] == "http.response.start":
            headers = dict(message.get("headers", ()))
            large = int(headers.get(b"content-length", 0)) > WORTH_BYTES
            if large and b"content-encoding" not in headers:
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            start, self._start = self._start, None
            if not message.get("more_body"):
                body = await asyncio.to_thread(_compress, message.get("body", b""))
                message = {**message, "body": body}
                start = {**start, "headers": _encoded(start["headers"], len(body))}
            await self._send(start)
        await self._send(message)


def _compress(body: bytes) -> bytes:
    stream = zlib.compressobj(_LEVEL, wbits=_GZIP)
    return stream.compress(body) + stream.flush()


def _encoded(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    kept = [header for header in headers if header[0] != b"content-length"]
    return [
        *kept,
        (b"content-length", b"%d" % size),
        (b"content-encoding", b"gzip"),
        (b"vary", b"accept-encoding"),
    ]
