"""How a connection ends: with a complete answer, whatever ends it.

A request that is refused before it can be routed gets a problem like any other error, and so does
one that the server's shutdown interrupts; uvicorn would answer in plain text.

It depends on uvicorn's internals, so uvicorn's version is pinned.
"""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api import problems
from service.common.errors import NotReady, ServiceError
from service.common.metrics import Metrics

LAST_CALL_SECONDS = 1.0
"""At shutdown an idle connection stays open this long, because a request may be arriving.

The state of the server may have another number, as `last_call_seconds`.
"""
_SWEEPS = 2
_CLOSE = (b"connection", b"close")


class LingeringTransport:
    """The transport of an answer that is written while the rest of its request still arrives."""

    def __init__(self, protocol: "ClosingProtocol") -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """Close in a way that lets the answer arrive."""
        self._protocol.close_answered_early()


class ClosingProtocol(HttpToolsProtocol):
    """One connection, as far as its end is concerned."""

    metrics: Metrics

    rejected = False
    """Whether the connection got its last answer: what still arrives is discarded."""
    linger_ticks = 0
    """The connection is closed this many sweeps after its last answer."""
    close_after_next = False
    """Whether the connection is closed after the next request."""
    done: object = None
    """The scope of the newest request that has arrived completely."""

    def in_body(self) -> bool:
        """Return whether the head of the newest request is complete."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def is_idle(self) -> bool:
        """Return whether no request is being answered or arriving."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.done is self.scope

    def shutdown(self) -> None:
        """Close after the request that is being answered or arriving; soon, if there is none."""
        self.close_after_next = True
        if self.linger_ticks:
            self.transport.close()
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            seconds = getattr(self.server_state, "last_call_seconds", LAST_CALL_SECONDS)
            self.loop.call_later(seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.is_idle():
            self.transport.close()

    def give_up(self) -> None:
        """Answer 503 to the request that is still being answered, because the server has to end."""
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
        """Close after the last answer; discard the rest of a request that is still arriving.

        A missing key or a body that is too large is refused before the body has arrived.
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
        """Answer with a problem, after earlier requests, and close: the rest cannot be parsed."""
        if self.rejected:
            return
        self.rejected = True
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._answer(answer)
        elif not self.in_body():
            # Earlier requests are being answered: they get their answers, this one does not.
            cycle.keep_alive = False
        elif self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline[0] = (cycle, _answering(answer))
        else:
            self._answer(answer)

    def _answer(self, answer: problems.Answer) -> None:
        """Write a problem as the last answer, unless another answer has begun."""
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
        """Shut the sending side; the sweep closes the connection a moment later.

        Closing immediately would send a TCP reset, which can discard the response if the client is
        still sending.
        """
        self.transport.write_eof()
        self.linger_ticks = _SWEEPS


def _problem(error: ServiceError) -> problems.Answer:
    return problems.answer(error, problems.request_id_of(None))


def _answering(answer: problems.Answer) -> Any:
    """Return an application that answers with a problem, for a pipelined request."""

    async def application(_: Any, __: Any, send: Any) -> None:
        await answer.send(send, [_CLOSE])

    return application
