"""What the fast path writes: replies that are prepared once for a model, and problems."""

from collections.abc import Sequence
from http import HTTPStatus
from time import monotonic, perf_counter
from typing import Any, Protocol

from service.api import problems
from service.api.predict import Predict
from service.api.predict_replies import PredictReplies
from service.auth.api_keys import ApiKeys
from service.common.errors import Overloaded, ServiceError, Unauthorized
from service.server.fast_path.head_cache import HeadCache, KeyedHeadCache
from service.serving.batching import LoopBatcher
from service.serving.served_model import Headers, ServedModel


class Waiting(Protocol):
    """A connection whose request waits for its answer."""

    server_state: Any
    transport: Any
    begun: float
    sent_id: bytes | None
    close_after_next: bool
    answered_at: float
    model: "FastPathModel | None"

    def close_answered(self) -> None:
        """Close the connection after its last answer."""


class FastPath:
    """Knows which model the fast path answers from, and who may use it."""

    def __init__(self, predict: Predict, keys: ApiKeys | None) -> None:
        self.longest = predict.longest_row
        self._predict = predict
        self._answering = predict.answering
        self._hold = predict.answering.hold
        self._model: FastPathModel | None = None
        self._keys = keys
        self.heads = HeadCache() if keys is None else KeyedHeadCache(keys)

    def admits(self, authorization: bytes | None) -> bool:
        """Return whether a valid key was sent if there are keys, and none if there are not.

        A key with a rate limit is counted on the ordinary path.
        """
        if self._keys is None:
            return authorization is None
        try:
            return self._keys.find(authorization).quota is None
        except Unauthorized:
            return False

    def current(self) -> "FastPathModel | None":
        """Return the model in use; None where there is none, or a change holds predictions."""
        served = self._answering.in_use()
        if served is None or self._hold.event is not None:
            return None
        model = self._model
        if model is None or model.served is not served:
            self._model = model = FastPathModel(served, self._predict)
        return model


class FastPathModel:
    """The fast path to one model in use: its batch of rows, and its prepared replies.

    A request is answered from the model that decoded it, whatever is in use by then.
    """

    def __init__(self, served: ServedModel, predict: Predict) -> None:
        self.served = served
        self.decode_row = served.predictor.decode_row
        self._is_full = predict.answering.is_full
        # In an object of their own: a reference cycle would keep the model when it is out of use.
        self._replies = _Replies(served, predict.answers)
        self.loop_batcher: LoopBatcher[Waiting] = LoopBatcher(
            served.predictor, self._replies.deliver
        )

    def is_full(self, size: int) -> bool:
        """Return whether a request of this size has to run in a thread and would be refused."""
        return self._is_full(self.served.predictor, size)

    def refuse(self, connection: Waiting) -> None:
        """Refuse a request because of overload.

        There are many of these then, and each takes time from those that are answered.
        """
        self._replies.deliver([connection], [Overloaded()])


class _Replies:
    """Writes replies to connections: those prepared once, and those made on demand."""

    def __init__(self, served: ServedModel, answers: PredictReplies) -> None:
        self._served = served
        self._answers = answers
        self._whole: dict[bytes | Exception, bytes] = {}
        for reply in served.predictor.replies.single:
            self._whole[reply] = _message(self._headers(reply, None), reply)
        self._defaults: object = None
        self._begin = b""

    def deliver(self, connections: Sequence[Waiting], answers: Sequence[bytes | Exception]) -> None:
        """Answer each connection; it does not raise."""
        state: Any = connections[0].server_state
        if state.default_headers is not self._defaults:  # they change every second: the Date header
            self._defaults = state.default_headers
            self._begin = _begin(200, state.default_headers)
        begin, whole, now = self._begin, self._whole, monotonic()
        for connection, answer in zip(connections, answers, strict=True):
            made = whole.get(answer)
            if made is None or connection.sent_id is not None or connection.close_after_next:
                made = self._made(connection, answer)
            else:
                made = begin + made
            connection.model = None
            connection.answered_at = now
            transport = connection.transport
            if transport.is_closing():
                continue
            transport.write(made)
            state.total_requests += 1
            if connection.close_after_next:
                connection.close_answered()
        end, predicted, ok = perf_counter(), 0, self._served.ok
        for connection, answer in zip(connections, answers, strict=True):
            if type(answer) is bytes:
                predicted += 1
                ok(end - connection.begun, 1)
        if predicted:
            self._answers.predicted(predicted)

    def _made(self, connection: Waiting, answer: bytes | Exception) -> bytes:
        """Return an answer that is not prepared, or has more headers than those."""
        if isinstance(answer, bytes):
            headers = self._headers(answer, connection.sent_id)
            return self._begin + _message(headers, answer, connection.close_after_next)
        about = (self._served, connection.sent_id, connection.begun)
        more: Headers = ()
        if isinstance(answer, ServiceError):
            try:
                problem, more = self._answers.refusal(answer, *about)
            except Exception as error:  # the others must still be answered
                problem = self._answers.defect(error, *about)
        else:
            problem = self._answers.defect(answer, *about)
        begin = _begin(problem.status, connection.server_state.default_headers)
        return begin + _message(
            [*problem.headers, *more], problem.body, connection.close_after_next
        )

    def _headers(self, reply: bytes, sent_id: bytes | None) -> Headers:
        headers = [*self._served.headers, (b"content-length", b"%d" % len(reply))]
        if sent_id is not None:
            headers.append((b"x-request-id", problems.request_id_of(sent_id).encode()))
        return headers


def _begin(status: int, headers: Headers) -> bytes:
    """Return the status line and the headers of every reply."""
    return b"HTTP/1.1 %d %b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), _lines(headers))


def _message(headers: Headers, body: bytes, close_after_next: bool = False) -> bytes:
    """Return the rest of a reply."""
    return b"%b%b\r\n%b" % (
        _lines(headers),
        b"connection: close\r\n" if close_after_next else b"",
        body,
    )


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
