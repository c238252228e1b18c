"""How a connection ends: with an answer, whatever it is that ends it.

What is refused before there is a request to route gets a problem like any other; what the server's
own end interrupts gets one too, never uvicorn's plain text.

It rests on uvicorn's internals, which is why its version is pinned.
"""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api import problems
from service.common.errors import NotReady, ServiceError
from service.common.metrics import Metrics

_LAST_CALL_SECONDS = 1.0
"""How long a connection without a request stays open when the server goes: one may come yet."""
_SWEEPS = 2
_CLOSE = (b"connection", b"close")


class LingeringTransport:
    """What the answer to a request is written to while the rest of that request is on its way."""

    def __init__(self, protocol: "ClosingProtocol") -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """Close, so that the answer arrives."""
        self._protocol.close_answered_early()


class ClosingProtocol(HttpToolsProtocol):
    """One connection, as far as its end is concerned."""

    metrics: Metrics

    rejected = False
    """Whether it was answered for good: what still comes is thrown away."""
    linger_ticks = 0
    """It is closed so many sweeps after its last answer."""
    close_after_next = False
    """Whether the next request is the last one."""
    done: object = None
    """The scope of the newest request that arrived whole."""

    def in_body(self) -> bool:
        """Tell whether the head of the newest request is whole."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def is_idle(self) -> bool:
        """Tell whether no request is under way, or on its way."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.done is self.scope

    def shutdown(self) -> None:
        """Close after the request that is under way, or on its way, or none after a moment."""
        self.close_after_next = True
        if self.linger_ticks:
            self.transport.close()
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(_LAST_CALL_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.is_idle():
            self.transport.close()

    def give_up(self) -> None:
        """Answer 503 to the request that is still under way, because the server has to end."""
        if self.pipeline:
            self.transport.abort()
        elif not self.rejected and self.cycle is not None and not self.cycle.response_complete:
            self.rejected = True
            self._answer(_problem(NotReady("The service was stopped before it could answer.")))
        self.transport.close()

    def refuse(self, status: int, detail: str) -> None:
        """Answer with a problem of this status, and close."""
        self._end(problems.plain(status, detail, problems.request_id_of(None)))

    def refuse_with(self, error: ServiceError) -> None:
        """Answer with this error, and close."""
        self._end(_problem(error))

    def close_answered_early(self) -> None:
        """Close after the last answer, if its request is whole; else throw away what still comes.

        A key that is missing, or a body that is too large, is known before the body is there.
        """
        if self.done is self.scope:
            self.transport.close()
        else:
            self.rejected = True
            self._close_later()

    def close_if_answered(self) -> None:
        """Close, at the second sweep after the last answer."""
        if self.linger_ticks:
            self.linger_ticks -= 1
            if not self.linger_ticks:
                self.transport.close()

    def _end(self, answer: problems.Answer) -> None:
        """Answer with a problem, in its turn, and close: what follows cannot be understood."""
        if self.rejected:
            return
        self.rejected = True
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._answer(answer)
        elif not self.in_body():
            # Earlier requests are under way: this one is not answered, they are.
            cycle.keep_alive = False
        elif self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline[0] = (cycle, _answering(answer))
        else:
            self._answer(answer)

    def _answer(self, answer: problems.Answer) -> None:
        """Write a problem as the last answer, unless another one has begun."""
        cycle = self.cycle
        begun = False
        if cycle is not None:
            begun = cycle.response_started and (self.in_body() or not cycle.response_complete)
            cycle.disconnected = True
            cycle.message_event.set()
        if begun or self.transport.is_closing():
            self.transport.close()
            return
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in (*answer.headers, _CLOSE)]
        self.transport.write(b"\r\n".join([*lines, b"", answer.body]))
        self._close_later()
        self.metrics.requests.labels("edge", "", str(answer.status)).inc()
        if answer.status < 500:
            self.metrics.invalid.labels(answer.slug).inc()

    def _close_later(self) -> None:
        """Say that nothing follows; the sweep closes the connection a moment later.

        The reset that closing at once is would take the answer away from a client that still sends.
        """
        self.transport.write_eof()
        self.linger_ticks = _SWEEPS


def _problem(error: ServiceError) -> problems.Answer:
    return problems.answer(error, problems.request_id_of(None))


def _answering(answer: problems.Answer) -> Any:
    """Give an application that answers so, for a request that has to wait for its turn."""

    async def application(_: Any, __: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": answer.status}
        await send({**start, "headers": [*answer.headers, _CLOSE]})
        await send({"type": "http.response.body", "body": answer.body})

    return application
