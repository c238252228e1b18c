"""The limit: an ASGI application that reads the body and sends the same bytes every time."""

import sys
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from tools.bench.serving import serve

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def constant(reply: bytes) -> Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]:
    """Return the application."""

    async def app(_: Message, receive: Receive, send: Send) -> None:
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
