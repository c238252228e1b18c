"""The limit: an ASGI application that reads the body and gives the same bytes every time."""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bench.serving import serve

Message = MutableMapping[str, Any]


def constant(
    reply: bytes,
) -> Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]:
    """Make the application."""

    async def app(
        _: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(reply)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    return app


if __name__ == "__main__":
    serve(constant(sys.argv[1].encode()))
