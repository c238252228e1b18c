"""`POST /predict` as plain ASGI, ahead of FastAPI's routing."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.api import predict_file, problems
from service.api.predict_replies import PredictReplies, ServedModel
from service.api.request_body import check_charset, declared_bytes
from service.common.domain import RowsMedia
from service.common.errors import (
    BodyTooLarge,
    ClientGone,
    EpochNotReached,
    InvalidRequest,
    NoModelInUse,
    Overloaded,
    ServiceError,
    UnsupportedMediaType,
)
from service.common.metrics import Metrics
from service.rollout.hold import Hold
from service.serving.admission import Admission
from service.serving.batching import ThreadBatcher
from service.serving.current_model import CurrentModel
from service.serving.predictor import Predictor

Reader = Callable[[Predictor, bytes], tuple[bytes, int]]

_SURE_READER: Reader = partial(Predictor.predict, probabilities=True)
"""Reads a JSON body where the query asks for probabilities."""

READERS: Mapping[bytes, Reader | RowsMedia] = {
    b"application/json": Predictor.predict,
    **predict_file.MEDIA,
}
"""By content type: what answers a body, or the format of the file that it is."""

_LONGEST_ROW = 65_535


class Predict:
    """The route as an ASGI application."""

    def __init__(
        self,
        current_model: CurrentModel,
        hold: Hold,
        metrics: Metrics,
        max_body_bytes: int,
        max_in_flight: int,
        threads: int,
    ) -> None:
        self.hold = hold
        self._current_model = current_model
        self._max_body_bytes = max_body_bytes
        self.admission = Admission(max_in_flight, metrics.in_flight)
        self.thread_batcher = ThreadBatcher(self.admission, threads)
        self.answers = PredictReplies(current_model, metrics)
        self.longest_row = min(_LONGEST_ROW, max_body_bytes)
        """A single row longer than this many bytes is not looked for."""

    def close(self) -> None:
        """Let the threads go."""
        self.thread_batcher.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = perf_counter()
        content_type = encoding = length = sent_id = min_epoch = None
        reader: Reader | RowsMedia = Predictor.predict
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name == b"content-length":
                length = value
            elif name == b"content-encoding":
                encoding = value
            elif name == b"x-request-id":
                sent_id = value
            elif name == b"x-min-epoch":
                min_epoch = value
        if self.hold.event is not None:
            await self.hold.event.wait()
        served = self.answers.served()
        try:
            if min_epoch is not None:
                _check_epoch(min_epoch, self._current_model.epoch)
            if content_type != b"application/json" or encoding is not None:
                reader = _reader(content_type, encoding)
            query = scope.get("query_string") or b""
            sure = query != b"" and predict_file.asked_for(query)
            if not callable(reader):
                await self._columns(scope, receive, send, served, reader, sure, sent_id, start)
                return
            if sure:
                reader = _SURE_READER
            if served is not None and self.is_full(served.predictor, declared_bytes(length)):
                raise Overloaded  # before the body is read
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body = message.get("body", b"")
            if message.get("more_body") or len(body) > self._max_body_bytes:
                body = await self.receive_rest(body, length, receive)
            if served is None:
                raise NoModelInUse(self._current_model.load_error)
            rows, row = 1, None
            if len(body) <= self.longest_row and reader is Predictor.predict:
                row = served.predictor.decode_row(body)
            if row is None:
                reply, rows = await self._answer(served.predictor, reader, body)
            elif served.predictor.slow:
                reply = await self.thread_batcher.answer_row(served.predictor, *row, len(body))
            else:
                waiting = asyncio.get_running_loop().create_future()
                served.loop_batcher.add(*row, waiting)
                reply = await waiting
        except ServiceError as error:
            refusal, headers = self.answers.refusal(
                error, served, sent_id, start, as_csv=reader == "csv"
            )
            await refusal.send(send, headers)
            return
        except ClientGone:
            return
        except Exception as error:
            # The edge of the route: anything else is a defect of the service.
            await self.answers.defect(error, served, sent_id, start).send(send)
            return
        await self._reply(reply, served.headers, sent_id, send)
        served.ok(perf_counter() - start, rows)
        self.answers.predicted(1)

    async def _columns(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        served: ServedModel | None,
        media: RowsMedia,
        probabilities: bool,
        sent_id: bytes | None,
        start: float,
    ) -> None:
        """Answer a file of rows."""
        if served is None:
            raise NoModelInUse(self._current_model.load_error)
        reply, rows, kind = await predict_file.answer(
            Request(scope, receive), served.predictor, media, probabilities
        )
        headers = [(b"content-type", kind), *served.model_headers]
        await self._reply(reply, headers, sent_id, send)
        served.ok(perf_counter() - start, rows)
        self.answers.predicted(1)

    @staticmethod
    async def _reply(
        reply: bytes, headers: list[tuple[bytes, bytes]], sent_id: bytes | None, send: Send
    ) -> None:
        headers = [*headers, (b"content-length", b"%d" % len(reply))]
        if sent_id is not None:
            headers.append((b"x-request-id", problems.request_id_of(sent_id).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    def is_full(self, predictor: Predictor, body_bytes: int) -> bool:
        """Return whether a request of this size has to run in a thread and would be refused."""
        if not predictor.slow and predictor.is_quick(body_bytes):
            return False
        return self.thread_batcher.is_full(predictor, min(body_bytes, self._max_body_bytes))

    async def receive_rest(self, body: bytes, length: bytes | None, receive: Receive) -> bytes:
        """Read the rest of a body, at most up to the limit."""
        limit = self._max_body_bytes
        if declared_bytes(length) > limit:
            raise BodyTooLarge("The body", limit, "bytes")
        parts = [body]
        size = len(body)
        while size <= limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if not message.get("more_body"):
                break
        if size > limit:
            raise BodyTooLarge("The body", limit, "bytes")
        return b"".join(parts)

    async def _answer(self, predictor: Predictor, reader: Reader, body: bytes) -> tuple[bytes, int]:
        """Answer on the event loop if that is quick, else in a thread."""
        if reader is Predictor.predict:
            answer = predictor.predict_at_once(body)
            if answer is not None:
                return answer
        return await self.thread_batcher.run(predictor, body, reader, predictor, body)


def _check_epoch(wanted: bytes, served: int) -> None:
    """Raise EpochNotReached where the client has seen a later epoch than this replica."""
    if not (wanted.isdigit() and len(wanted) <= 18):
        raise InvalidRequest("X-Min-Epoch must be an epoch, an integer.")
    if served < int(wanted):
        raise EpochNotReached(int(wanted), served)


def _reader(content_type: bytes | None, encoding: bytes | None) -> Reader | RowsMedia:
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType(
            f"Content-Encoding {encoding.decode('latin-1')[:40]!r}", ["the body as it is"]
        )
    kind, _, parameters = (content_type or b"").partition(b";")
    kind = kind.strip().lower()
    check_charset(kind.decode("latin-1"), parameters.decode("latin-1"))
    if kind not in READERS:
        accepted = [name.decode() for name in READERS]
        raise UnsupportedMediaType(f"{kind.decode('latin-1')[:64]!r}" if kind else "", accepted)
    return READERS[kind]
