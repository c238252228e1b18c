"""What all methods share: the key first, then the message, the method, and errors as statuses.

A message is read as one of a stream, which is the same on the wire: so a call without a valid key
is refused before its message is received, and half a message does not hold a call open.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, Protocol

import grpc

from service.api import problems
from service.api.authentication import role_for
from service.api.predict_replies import DEFECT
from service.auth.api_keys import ApiKeys
from service.common.disk_errors import lack
from service.common.errors import BodyTooLarge, ServiceError, StorageUnavailable
from service.common.json_logs import request_id
from service.common.metrics import Metrics
from service.grpc.statuses import CODES, Metadata, as_details, details_of, metadata, metadata_of

logger = logging.getLogger(__name__)

Messages = AsyncIterator[bytes]


class Context(Protocol):
    """What grpcio gives a handler beside the messages."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """Return what the client sent beside the message."""

    async def send_initial_metadata(self, metadata: Metadata, /) -> None:
        """Send what stands before the reply."""

    async def abort(self, code: Any, details: str, metadata: Metadata, /) -> None:
        """End the call with a status; always raises."""


class Refused(Exception):
    """A call that is answered with an error, which has been counted."""

    def __init__(
        self, answer: problems.Answer, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(details_of(answer))
        self.answer = answer
        self.headers = headers


class Call:
    """One call: what a client sent beside the message."""

    def __init__(self, context: Context) -> None:
        self.start = perf_counter()
        self.headers: dict[bytes, bytes] = {}
        for key, value in context.invocation_metadata() or ():
            text = value if isinstance(value, bytes) else value.encode("latin-1", "replace")
            self.headers.setdefault(key.encode(), text)
        self.sent_id = self.headers.get(b"x-request-id")
        self.id = problems.request_id_of(self.sent_id)
        self._context = context

    async def send_headers(self, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Send initial metadata; the request's id is among it if the client sent one."""
        sent = [*headers, *([] if self.sent_id is None else [(b"x-request-id", self.id.encode())])]
        if sent:
            await self._context.send_initial_metadata(metadata(sent))


Method = Callable[[Call, bytes], Awaitable[bytes]]
"""Answers a message; raises Refused, or a ServiceError that nothing has counted."""


class Calls:
    """Makes the handlers of methods."""

    def __init__(
        self, keys: ApiKeys | None, metrics: Metrics, idle_seconds: float, max_bytes: int
    ) -> None:
        """A message has to arrive within `idle_seconds`, and may have `max_bytes`."""
        self._keys = keys
        self._metrics = metrics
        self._idle_seconds = idle_seconds
        self._max_bytes = max_bytes

    def handler(
        self, route: str, method: Method, like: tuple[str, str], counts: bool = False
    ) -> Any:
        """Return the handler of a method.

        `route` is what metrics call it, `like` the method and path of HTTP whose role it needs.
        With `counts` the method itself counts its answers.
        """
        role = role_for(*like)

        async def handle(messages: Messages, context: Context) -> bytes:
            call = Call(context)
            request_id.set(call.id)
            try:
                reply = await self._answer(call, messages, method, role)
            except Refused as error:
                refusal = error
            except Exception as error:
                refusal = self._refusal(call, route, error)
            else:
                if not counts:
                    self._metrics.requests.labels(route, "POST", "200").inc()
                return reply
            # No initial metadata before a status: clients try again only where there was none.
            answer = refusal.answer
            more = metadata_of(answer, refusal.headers)
            await context.abort(CODES[answer.status], details_of(answer), more)
            raise AssertionError(route)

        return grpc.stream_unary_rpc_method_handler(handle)

    async def _answer(
        self, call: Call, messages: Messages, method: Method, role: str | None
    ) -> bytes:
        if role is not None and self._keys is not None:
            self._keys.check(call.headers.get(b"authorization"), role)
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await anext(messages, None)
        except TimeoutError as error:
            sentence = f"The message did not arrive within {self._idle_seconds:g} s."
            raise Refused(problems.plain(408, sentence, call.id, shape=as_details)) from error
        if message is None:
            # gRPC has answered a message over the limit itself; this counts it.
            raise BodyTooLarge("The message is missing, or", self._max_bytes, "bytes")
        return await method(call, message)

    def _refusal(self, call: Call, route: str, error: Exception) -> Refused:
        """Count an error, and return it as it is answered; a defect is logged."""
        reason = lack(error) if isinstance(error, OSError) else None
        if reason is not None:
            error = StorageUnavailable(reason)
        if isinstance(error, ServiceError):
            answer = problems.answer(error, call.id, shape=as_details)
            if answer.status < 500:
                self._metrics.invalid.labels(answer.slug).inc()
        else:
            logger.error("%s met a defect", route, exc_info=error)
            answer = problems.plain(500, DEFECT, call.id, shape=as_details)
        self._metrics.requests.labels(route, "POST", str(answer.status)).inc()
        return Refused(answer)
