"""The fast path of predictions: a request with one row, answered without an ASGI scope.

An ASGI scope, its task and its events cost more than the prediction. A plain request with one row
is therefore decoded as soon as it is complete, and all that arrive in one iteration of the event
loop are answered by one run of the model. The fast path answers with a prediction, or with what the
run raised, byte for byte as the ordinary path does. Any other request takes the ordinary path from
its head on, and a client cannot tell which path answered.

It depends on uvicorn's internals, so uvicorn's version is pinned.
"""

from time import monotonic, perf_counter

from service.api import problems
from service.api.predictions import Predictions
from service.auth.api_keys import ApiKeys
from service.common.metrics import Metrics
from service.common.settings import Settings
from service.server.fast_path.head_cache import END, PlainHead
from service.server.fast_path.replies import FastForm
from service.server.fast_path.routes import FastPath, FastRoute
from service.server.fast_path.rows import FoundRow
from service.server.limits import LimitedProtocol, RequestRejected, limited_protocol

_ORDINARY = frozenset(
    (
        b"content-encoding",
        b"expect",
        b"origin",
        b"transfer-encoding",
        b"upgrade",
        b"x-api-key",
        b"x-min-epoch",
    )
)
"""Headers that ask for more than an answer."""

_TENSORS = (None, b"application/octet-stream")
"""Content types of the Open Inference Protocol besides JSON; some clients send none."""


class FastPathProtocol(LimitedProtocol):
    """One connection, whose requests take the fast path where they can.

    A request is on it from its head until it is complete, and may be handed over to the ordinary
    path at any moment before that.
    """

    fast_path: FastPath

    parts: list[bytes] | None = None
    """The body so far of the request that is on the fast path, if there is one."""
    stands = False
    """Whether the head arrived in an earlier segment than the body."""
    begun = 0.0
    sent_id: bytes | None = None
    form: FastForm | None = None
    """The form of reply that a complete request waits for."""
    size = 0
    """Bytes of that request's body."""
    head_bytes: int | None = None
    """Of its body, the bytes of JSON before a binary tensor; None where it is JSON alone."""
    share_by = b""
    """The header by which traffic was split between two versions when the head was read."""
    share_value: bytes | None = None
    """What the head has for it; None: nothing."""
    steady = True
    """Whether the parser has seen a plain request last, so that the next one may bypass it."""
    found: FoundRow | None = None
    """What that request asks for, until it joins the batch of this iteration."""

    def is_idle(self) -> bool:
        """Return whether no request is being answered or arriving."""
        return self.form is None and super().is_idle()

    def data_received(self, data: bytes) -> None:
        """Handle what arrived; a request with a cached head bypasses the parser."""
        at = data.find(END) + len(END)
        said = self.fast_path.heads.find(data[:at])
        if said is not None and said.body_bytes == len(data) - at and self._take(said, data[at:]):
            return
        between = self.done is self.scope
        super().data_received(data)
        if self.found is not None:
            if (
                between
                and self.done is self.scope
                and self.sent_id is None
                and not self.close_after_next
            ):
                self.fast_path.heads.learn(data, self._said())
            self._join()

    def _said(self) -> PlainHead:
        return PlainHead(self.url, self.head_bytes, self.size, self.share_by, self.share_value)

    def _take(self, said: PlainHead, body: bytes) -> bool:
        """Answer a request whose head is cached, bypassing the parser, if the connection is idle.

        Return whether it did. The connection must also be one that `_is_plain` accepts.
        """
        if (
            self.done is not self.scope
            or self.form is not None
            or not self.steady
            or self.close_after_next
            or self.rejected
            or self.in_reserve
            or self.flow.write_paused
            or (self.cycle is not None and not self.cycle.response_complete)
        ):
            return False
        begun = perf_counter()
        route = self.fast_path.current(said.url, said.share_value)
        if route is None or said.share_by != self.fast_path.share_by:
            return False
        found = self._find(route, body, said.head_bytes)
        if found is None:
            return False
        self.begun = begun
        self.since = self.sent_id = None
        form, row, probabilities = found
        self.form = form
        form.loop_batcher.add(row, probabilities, self)
        return True

    def _join(self) -> None:
        found, self.found = self.found, None
        assert found is not None
        found.form.loop_batcher.add(found.row, found.probabilities, self)

    def on_headers_complete(self) -> None:
        """Put a plain request on the fast path, any other on the ordinary one."""
        if self.form is not None:  # A pipelined request: the one before it is answered first.
            form = self.form
            if self.unparsed > self.small:
                self._check_head()
            if not self.url.startswith(b"/"):
                self._check_host()
            if self.found is not None:
                self._join()
            form.loop_batcher.flush()
            if self.transport.is_closing():  # the one before it was the last
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
            self.close_after_next
            or self.in_reserve
            or self.flow.write_paused
            or (cycle is not None and not cycle.response_complete)
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or self.fast_path.current(self.url) is None
        ):
            return False
        content_type = sent_id = authorization = head_bytes = share_value = None
        share_by = self.fast_path.share_by
        for name, value in self.headers:
            if name == b"content-type":
                content_type = value
            elif name == b"x-request-id":
                sent_id = value
            elif name == b"authorization":
                authorization = value if authorization is None else authorization
            elif name == b"inference-header-content-length":
                head_bytes = value
            elif name in _ORDINARY:
                return False
            if name == share_by:
                if share_value is not None:  # the ordinary path knows which of them counts
                    return False
                share_value = value
        if head_bytes is not None and not head_bytes.isdigit():
            return False
        self.sent_id = sent_id
        self.share_by, self.share_value = share_by, share_value
        self.head_bytes = None if head_bytes is None else int(head_bytes[:12])
        is_json = content_type == b"application/json"
        if not is_json and (content_type not in _TENSORS or self.url == b"/predict"):
            return False
        return self.fast_path.admits(authorization)

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body."""
        if self.parts is not None:
            self.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Answer a row that the model takes, at the end of this iteration or sooner.

        Refuse a request for a slow model that is full; hand any other over.
        """
        parts = self.parts
        if parts is None:
            super().on_message_complete()
            return
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        route = self.fast_path.current(self.url, self.share_value)
        if self.share_by != self.fast_path.share_by:  # changed since the head was read
            route = None
        found = None if route is None else self._find(route, body, self.head_bytes)
        if route is None or (found is None and not route.is_full(len(body))):
            self._hand_over()
            super().on_message_complete()
            return
        self.parts = None
        self.stands = False
        self.done = self.scope
        if not self.parser.should_keep_alive():
            self.close_after_next = True
        if found is None:
            route.refuse(self)
            return
        self.form = found.form
        self.found = found
        self.size = len(body)

    def _find(self, route: FastRoute, body: bytes, head_bytes: int | None) -> FoundRow | None:
        if len(body) > self.fast_path.longest:
            return None
        try:
            found = route.read(body, head_bytes)
            return None if found is None or found.form.predictor.slow else found
        except Exception:  # The ordinary path meets the same defect, and reports it.
            return None

    def _hand_over(self) -> None:
        """Move the request to the ordinary path, as if it had been there since its head."""
        parts, self.parts = self.parts, None
        super().on_headers_complete()
        if self.stands:
            self.stands = False
            self.awaited = self.cycle
            self.received = self.counted = 0
        for part in parts or ():
            super().on_body(part)

    def _await_rest(self, size: int) -> None:
        """Let the body arrive in one segment after the head; hand anything slower over."""
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
        """Apply the ordinary deadlines: a request that is still incomplete is not plain."""
        if self.parts is not None:
            self._hand_over()
        super().close_if_silent(now)

    def shutdown(self) -> None:
        """Close after the request that is being answered or arriving; soon, if there is none."""
        if self.parts is not None:
            self._hand_over()
        if self.form is not None:
            self.close_after_next = True
        else:
            super().shutdown()

    def close_answered(self) -> None:
        """Close the connection after its last answer."""
        if self.rejected:
            self._close_later()
        else:
            self.transport.close()

    def _end(self, answer: problems.Answer) -> None:
        """Answer with a problem; if an earlier request waits, its answer is the last instead."""
        if self.form is not None:
            self.rejected = self.close_after_next = True
        else:
            super()._end(answer)


def fast_path_protocol(
    settings: Settings, metrics: Metrics, predictions: Predictions, keys: ApiKeys | None
) -> type[FastPathProtocol]:
    """Return the protocol class for these settings."""
    ordinary = limited_protocol(settings, metrics)
    kept = {"fast_path": FastPath(predictions, keys)}
    return type("ConfiguredFastPath", (FastPathProtocol, ordinary), kept)
