"""The short way of `POST /predict`: a request with one row, answered before there is an ASGI scope.

A scope, a task and the events of ASGI cost more than the prediction. So an ordinary request with a
single row is decoded as soon as it has come, and all that came in one turn of the event loop are
answered by one run of the model. Its rule: it answers with a prediction or with what befell the
run, byte by byte as the ordinary way would. Whatever else a request is, has or needs, it goes the
ordinary way, from its head on, and nobody can tell.

It rests on uvicorn's internals, which is why its version is pinned.
"""

from collections.abc import Sequence
from http import HTTPStatus
from time import monotonic, perf_counter
from typing import Any

from service import problems
from service.api.answers import Answers, Headers, Route
from service.api.predict import Predict
from service.api.turns import Turns
from service.edge import EdgeProtocol, edge_protocol
from service.errors import ServiceError
from service.metrics import Metrics
from service.schema.decoder import Row
from service.settings import Settings

_ORDINARY = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"expect",
        b"transfer-encoding",
        b"upgrade",
        b"x-api-key",
        b"x-min-epoch",
    )
)
"""Headers that ask for more than an answer."""


class ShortWay:
    """Finds out which model answers, and whether one may just now."""

    def __init__(self, predict: Predict) -> None:
        self.longest = predict.longest_row
        self._gate = predict.gate
        self._answers = predict.answers
        self._lane: Lane | None = None

    def lane(self) -> "Lane | None":
        """Give the lane of the model in use; None where there is none, or it is being changed."""
        route = self._answers.route()
        if route is None or self._gate.shut is not None:
            return None
        lane = self._lane
        if lane is None or lane.route is not route:
            self._lane = lane = Lane(route, self._answers)
        return lane


class Lane:
    """The short way to one model in use: its rows of a turn, and its replies, made once.

    A request is answered from the model that it was decoded for, whatever is in use by then.
    """

    def __init__(self, route: Route, answers: Answers) -> None:
        self.route = route
        self.one_row = route.predictor.one_row
        self.turns: Turns[ShortWayProtocol] = Turns(route.predictor, self._deliver)
        self._answers = answers
        self._whole: dict[bytes | Exception, bytes] = {}
        for reply in route.predictor.replies:
            self._whole[reply] = _message(self._headers(reply, None), reply)
        self._defaults: object = None
        self._begin = b""

    def _deliver(
        self, connections: "Sequence[ShortWayProtocol]", answers: Sequence[bytes | Exception]
    ) -> None:
        state: Any = connections[0].server_state
        if state.default_headers is not self._defaults:  # they have the second in them
            self._defaults = state.default_headers
            self._begin = _begin(200, state.default_headers)
        begin, whole, now = self._begin, self._whole, monotonic()
        for connection, answer in zip(connections, answers, strict=True):
            made = whole.get(answer)
            if made is None or connection.sent_id is not None or connection.last:
                made = self._made(connection, answer)
            else:
                made = begin + made
            connection.lane = None
            connection.answered_at = now
            transport = connection.transport
            if transport.is_closing():
                continue
            transport.write(made)
            state.total_requests += 1
            if connection.last:
                transport.close()
        end, predicted, ok = perf_counter(), 0, self.route.ok
        for connection, answer in zip(connections, answers, strict=True):
            if type(answer) is bytes:
                predicted += 1
                ok(end - connection.begun, 1)
        if predicted:
            self._answers.predicted(predicted)

    def _made(self, connection: "ShortWayProtocol", answer: bytes | Exception) -> bytes:
        """Make an answer that was not made before, or has more to say than others."""
        if isinstance(answer, bytes):
            headers = self._headers(answer, connection.sent_id)
            return self._begin + _message(headers, answer, connection.last)
        about = (self.route, connection.sent_id, connection.begun)
        more: Headers = ()
        if isinstance(answer, ServiceError):
            try:
                problem, more = self._answers.refusal(answer, *about)
            except Exception as error:  # the others have to get their answers
                problem = self._answers.defect(error, *about)
        else:
            problem = self._answers.defect(answer, *about)
        begin = _begin(problem.status, connection.server_state.default_headers)
        return begin + _message([*problem.headers, *more], problem.body, connection.last)

    def _headers(self, reply: bytes, sent_id: bytes | None) -> Headers:
        headers = [*self.route.headers, (b"content-length", b"%d" % len(reply))]
        if sent_id is not None:
            headers.append((b"x-request-id", problems.request_id_of(sent_id).encode()))
        return headers


class ShortWayProtocol(EdgeProtocol):
    """One connection, whose requests go the short way where they can.

    A request is on it from its head until it is whole, and may be handed over at any moment.
    """

    short_way: ShortWay

    parts: list[bytes] | None = None
    """What came of the body of the request that is on the short way, if one is."""
    stands = False
    """Whether the body was awaited after its head had come."""
    begun = 0.0
    sent_id: bytes | None = None
    lane: Lane | None = None
    """Where a whole request waits for its answer."""
    row: tuple[Row, bool] | None = None
    """What it asks for, until it joins those of its turn."""

    def is_idle(self) -> bool:
        """Tell whether no request is under way, or on its way."""
        return self.lane is None and super().is_idle()

    def data_received(self, data: bytes) -> None:
        """Take what arrived. What stands behind a request in it may make that the last one."""
        super().data_received(data)
        if self.row is not None:
            self._join()

    def _join(self) -> None:
        row, self.row = self.row, None
        assert row is not None
        assert self.lane is not None
        self.lane.turns.add(*row, self)

    def on_headers_complete(self) -> None:
        """Choose the way."""
        if self.lane is not None:  # This one was sent ahead: the other is answered before it.
            lane = self.lane
            if self.unparsed > self.small:
                self._check_head()
            if self.row is not None:
                self._join()
            lane.turns.flush()
        if not self._is_plain():
            super().on_headers_complete()
            return
        if self.unparsed > self.small:
            self._check_head()
        self.parts = []
        self.begun = perf_counter()

    def _is_plain(self) -> bool:
        parser, cycle = self.parser, self.cycle
        if (
            self.url != b"/predict"
            or self.last
            or self.in_reserve
            or self.flow.write_paused
            or (cycle is not None and not cycle.response_complete)
            or parser.get_method() != b"POST"
            or not parser.should_keep_alive()
            or parser.get_http_version() != "1.1"
        ):
            return False
        content_type = sent_id = None
        for name, value in self.headers:
            if name == b"content-type":
                content_type = value
            elif name == b"x-request-id":
                sent_id = value
            elif name in _ORDINARY:
                return False
        self.sent_id = sent_id
        return content_type == b"application/json"

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if self.parts is not None:
            self.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer at the end of this turn, or sooner, if it is a row that the model takes."""
        parts = self.parts
        if parts is None:
            super().on_message_complete()
            return
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        lane = self.short_way.lane()
        row = None if lane is None else self._row(lane, body)
        if lane is None or row is None:
            self._hand_over()
            super().on_message_complete()
            return
        self.parts = None
        self.stands = False
        self.done = self.scope
        self.lane = lane
        self.row = row

    def _row(self, lane: Lane, body: bytes) -> tuple[Row, bool] | None:
        if len(body) > self.short_way.longest:
            return None
        try:
            return lane.one_row(body)
        except Exception:  # The ordinary way meets the same defect, and knows what to say.
            return None

    def _hand_over(self) -> None:
        """Let the request go the ordinary way, as if it had done so from its head on."""
        parts, self.parts = self.parts, None
        super().on_headers_complete()
        if self.stands:
            self.stands = False
            self.awaited = self.cycle
            self.received = self.counted = 0
        for part in parts or ():
            super().on_body(part)

    def _await_rest(self, size: int) -> None:
        """Let the body come in one segment after its head; more is nothing for the short way."""
        if self.parts is not None:
            if not self.stands:
                self.stands = True
                self.unparsed = 0
                self.since = monotonic()
                self.flow.restart(self.since)
                return
            self._hand_over()
        super()._await_rest(size)

    def close_if_silent(self, now: float) -> None:
        """As for any request: what has not come by now is not ordinary."""
        if self.parts is not None:
            self._hand_over()
        super().close_if_silent(now)

    def shutdown(self) -> None:
        """Close after the request that is under way, or on its way, or none after a moment."""
        if self.parts is not None:
            self._hand_over()
        if self.lane is not None:
            self.last = True
        else:
            super().shutdown()

    def _end(self, answer: problems.Answer) -> None:
        """Answer with a problem, unless an earlier request waits: then that is the last answer."""
        if self.lane is not None:
            self.refused = self.last = True
        else:
            super()._end(answer)


def _begin(status: int, headers: Headers) -> bytes:
    """Give a reply's first line, and the headers that all replies have."""
    return b"HTTP/1.1 %d %b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), _lines(headers))


def _message(headers: Headers, body: bytes, last: bool = False) -> bytes:
    """Give the rest of a reply."""
    return b"%b%b\r\n%b" % (_lines(headers), b"connection: close\r\n" if last else b"", body)


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def short_way_protocol(
    settings: Settings, metrics: Metrics, predict: Predict
) -> type[ShortWayProtocol]:
    """Give the protocol class for these settings."""
    ordinary = edge_protocol(settings, metrics)
    kept = {"short_way": ShortWay(predict)}
    return type("ConfiguredShortWay", (ShortWayProtocol, ordinary), kept)
