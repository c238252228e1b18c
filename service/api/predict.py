"""`POST /predict`, and the same for any version, as plain ASGI, ahead of FastAPI's routing."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.api import predict_file, problems
from service.api.answering import Answering
from service.api.content_headers import check_charset, check_encoding
from service.api.predict_replies import PredictReplies
from service.common.domain import RowsMedia
from service.common.errors import ClientGone, ServiceError, UnsupportedMediaType
from service.serving.predictor import Predictor
from service.serving.served_model import Headers, ServedModel

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
    """The routes as an ASGI application."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.answers = PredictReplies(answering.metrics)
        self._answers_of_versions = PredictReplies(
            answering.metrics, "/models/{name}/versions/{version}/predict"
        )
        self.longest_row = min(_LONGEST_ROW, answering.max_body_bytes)
        """A single row longer than this many bytes is not looked for."""

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        name: str | None = None,
        version: str | None = None,
    ) -> None:
        """Answer one request, from the model in use unless a version is named."""
        start = perf_counter()
        content_type = encoding = length = sent_id = min_epoch = None
        reader: Reader | RowsMedia = Predictor.predict
        for key, value in scope["headers"]:
            if key == b"content-type":
                content_type = value
            elif key == b"content-length":
                length = value
            elif key == b"content-encoding":
                encoding = value
            elif key == b"x-request-id":
                sent_id = value
            elif key == b"x-min-epoch":
                min_epoch = value
        answers = self.answers if name is None else self._answers_of_versions
        served: ServedModel | None = None
        try:
            served = await self.answering.find(name, version, min_epoch)
            if content_type != b"application/json" or encoding is not None:
                reader = _reader(content_type, encoding)
            query = scope.get("query_string") or b""
            sure = query != b"" and predict_file.asked_for(query)
            if callable(reader):
                if sure:
                    reader = _SURE_READER
                body = await self.answering.receive(served, length, receive)
                if served is None:
                    raise self.answering.no_model_in_use()
                headers: Headers = served.headers
                reply, rows = await self._answer(served, reader, body)
            elif served is None:
                raise self.answering.no_model_in_use()
            else:
                reply, rows, kind = await predict_file.answer(
                    Request(scope, receive), served.predictor, reader, sure
                )
                headers = [(b"content-type", kind), *served.model_headers]
        except ServiceError as error:
            if served is None and name is None:
                served = self.answering.in_use()
            refusal, more = answers.refusal(error, served, sent_id, start, as_csv=reader == "csv")
            await refusal.send(send, more)
            return
        except ClientGone:
            return
        except Exception as error:
            # The edge of the route: anything else is a defect of the service.
            await answers.defect(error, served, sent_id, start).send(send)
            return
        await send_reply(reply, headers, sent_id, send)
        served.ok(perf_counter() - start, rows)
        answers.predicted(1)

    async def _answer(self, served: ServedModel, reader: Reader, body: bytes) -> tuple[bytes, int]:
        """Answer a single row together with others, on the event loop or in a thread."""
        predictor, batcher = served.predictor, self.answering.thread_batcher
        if reader is Predictor.predict:
            row = predictor.decode_row(body) if len(body) <= self.longest_row else None
            if row is not None and predictor.slow:
                return await batcher.answer_row(predictor, *row, len(body)), 1
            if row is not None:
                waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
                served.loop_batcher.add(*row, waiting)
                return await waiting, 1
            answer = predictor.predict_at_once(body)
            if answer is not None:
                return answer
        seconds = predictor.seconds_of_body(body)
        return await batcher.run(predictor, len(body), seconds, reader, predictor, body)


async def send_reply(reply: bytes, headers: Headers, sent_id: bytes | None, send: Send) -> None:
    """Send a prediction, and the request's id if the request had one."""
    headers = [*headers, (b"content-length", b"%d" % len(reply))]
    if sent_id is not None:
        headers.append((b"x-request-id", problems.request_id_of(sent_id).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply})


def _reader(content_type: bytes | None, encoding: bytes | None) -> Reader | RowsMedia:
    check_encoding((encoding or b"").decode("latin-1"))
    kind, _, parameters = (content_type or b"").partition(b";")
    kind = kind.strip().lower()
    check_charset(kind.decode("latin-1"), parameters.decode("latin-1"))
    if kind not in READERS:
        accepted = [name.decode() for name in READERS]
        raise UnsupportedMediaType(f"{kind.decode('latin-1')[:64]!r}" if kind else "", accepted)
    return READERS[kind]
