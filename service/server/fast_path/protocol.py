"""The short way of `POST /predict`: a request with one row, answered before there is an ASGI scope.

A scope, a task and the events of ASGI cost more than the prediction. So an ordinary request with a
single row is decoded as soon as it has come, and all that came in one turn of the event loop are
answered by one run of the model. Its rule: it answers with a prediction or with what befell the
run, byte by byte as the ordinary way would. Whatever else a request is, has or needs, it goes the
ordinary way, from its head on, and nobody can tell.

It rests on uvicorn's internals, which is why its version is pinned.
"""

from time import monotonic, perf_counter

from service.api import problems
from service.api.predict import Predict
from service.auth.api_keys import ApiKeys
from service.common.metrics import Metrics
from service.common.settings import Settings
from service.schema.decoder import Row
from service.server.fast_path.head_cache import END
from service.server.fast_path.replies import FastPath, FastPathModel
from service.server.limits import LimitedProtocol, RequestRejected, limited_protocol

_ORDINARY = frozenset(
    (
        b"content-encoding",
        b"expect",
        b"transfer-encoding",
        b"upgrade",
        b"x-api-key",
        b"x-min-epoch",
    )
)
"""Headers that ask for more than an answer."""


class FastPathProtocol(LimitedProtocol):
    """One connection, whose requests go the short way where they can.

    A request is on it from its head until it is whole, and may be handed over at any moment.
    """

    fast_path: FastPath

    parts: list[bytes] | None = None
    """What came of the body of the request that is on the short way, if one is."""
    stands = False
    """Whether the body was awaited after its head had come."""
    begun = 0.0
    sent_id: bytes | None = None
    model: FastPathModel | None = None
    """Where a whole request waits for its answer."""
    size = 0
    """The bytes of its body."""
    steady = True
    """Whether the parser stands where it does after a plain request, ready for the next one."""
    row: tuple[Row, bool] | None = None
    """What it asks for, until it joins those of its turn."""

    def is_idle(self) -> bool:
        """Tell whether no request is under way, or on its way."""
        return self.model is None and super().is_idle()

    def data_received(self, data: bytes) -> None:
        """Take what arrived. What stands behind a request in it may make that the last one."""
        at = data.find(END) + len(END)
        if self.fast_path.heads.find(data[:at]) == len(data) - at and self._take(data[at:]):
            return
        between = self.done is self.scope
        super().data_received(data)
        if self.row is not None:
            if (
                between
                and self.done is self.scope
                and self.sent_id is None
                and not self.close_after_next
            ):
                self.fast_path.heads.learn(data, self.size)
            self._join()

    def _take(self, body: bytes) -> bool:
        """Answer a request with a known head, unless this connection is not between two requests.

        Nor may it be otherwise than `_is_plain` wants it. The parser learns nothing of it.
        """
        if (
            self.done is not self.scope
            or self.model is not None
            or not self.steady
            or self.close_after_next
            or self.rejected
            or self.in_reserve
            or self.flow.write_paused
            or (self.cycle is not None and not self.cycle.response_complete)
        ):
            return False
        begun = perf_counter()
        model = self.fast_path.current()
        row = None if model is None else self._row(model, body)
        if model is None or row is None:
            return False
        self.begun = begun
        self.since = self.sent_id = None
        self.model = model
        model.loop_batcher.add(*row, self)
        return True

    def _join(self) -> None:
        row, self.row = self.row, None
        assert row is not None
        assert self.model is not None
        self.model.loop_batcher.add(*row, self)

    def on_headers_complete(self) -> None:
        """Choose the way."""
        if self.model is not None:  # This one was sent ahead: the other is answered before it.
            model = self.model
            if self.unparsed > self.small:
                self._check_head()
            if self.row is not None:
                self._join()
            model.loop_batcher.flush()
            if self.transport.is_closing():  # that was the last one
                self.rejected = True
                raise RequestRejected
        self.steady = self._is_plain()
        if not self.steady:
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
            or self.close_after_next
            or self.in_reserve
            or self.flow.write_paused
            or (cycle is not None and not cycle.response_complete)
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
        ):
            return False
        content_type = sent_id = authorization = None
        for name, value in self.headers:
            if name == b"content-type":
                content_type = value
            elif name == b"x-request-id":
                sent_id = value
            elif name == b"authorization":
                authorization = value if authorization is None else authorization
            elif name in _ORDINARY:
                return False
        self.sent_id = sent_id
        return content_type == b"application/json" and self.fast_path.admits(authorization)

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if self.parts is not None:
            self.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer at the end of this turn, or sooner, where it is a row that the model takes.

        Or refuse it, where it is for the threads and they are taken.
        """
        parts = self.parts
        if parts is None:
            super().on_message_complete()
            return
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        model = self.fast_path.current()
        row = None if model is None else self._row(model, body)
        if model is None or (row is None and not model.is_full(len(body))):
            self._hand_over()
            super().on_message_complete()
            return
        self.parts = None
        self.stands = False
        self.done = self.scope
        if not self.parser.should_keep_alive():
            self.close_after_next = True
        if row is None:
            model.refuse(self)
            return
        self.model = model
        self.row = row
        self.size = len(body)

    def _row(self, model: FastPathModel, body: bytes) -> tuple[Row, bool] | None:
        if len(body) > self.fast_path.longest or model.served.predictor.slow:
            return None
        try:
            return model.decode_row(body)
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
        if self.model is not None:
            self.close_after_next = True
        else:
            super().shutdown()

    def close_answered(self) -> None:
        """Close: the last answer is written."""
        if self.rejected:
            self._close_later()
        else:
            self.transport.close()

    def _end(self, answer: problems.Answer) -> None:
        """Answer with a problem, unless an earlier request waits: then that is the last answer."""
        if self.model is not None:
            self.rejected = self.close_after_next = True
        else:
            super()._end(answer)


def fast_path_protocol(
    settings: Settings, metrics: Metrics, predict: Predict, keys: ApiKeys | None
) -> type[FastPathProtocol]:
    """Give the protocol class for these settings."""
    ordinary = limited_protocol(settings, metrics)
    kept = {"fast_path": FastPath(predict, keys)}
    return type("ConfiguredFastPath", (FastPathProtocol, ordinary), kept)
