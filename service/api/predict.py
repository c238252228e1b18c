"""`POST /predict`, and the same for any version, ahead of FastAPI's routing."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from starlette.requests import Request
from starlette.types import Receive, Scope

from service.api import predict_file
from service.api.answering import Answering
from service.api.content_headers import check_charset, check_encoding
from service.api.predict_replies import PredictReplies
from service.api.prediction_route import PredictionRoute, SentHeaders
from service.api.written import Written
from service.common.domain import RowsMedia
from service.common.errors import UnsupportedMediaType
from service.serving.predictor import Predictor
from service.serving.served_model import JSON, ServedModel

Reader = Callable[[Predictor, bytes], tuple[bytes, int]]

_SURE_READER: Reader = partial(Predictor.predict, probabilities=True)
"""Reads a JSON body where the query asks for probabilities."""

READERS: Mapping[bytes, Reader | RowsMedia] = {
    b"application/json": Predictor.predict,
    **predict_file.MEDIA,
}
"""By content type: what answers a body, or the format of the file that it is."""

OF_VERSION = "/models/{name}/versions/{version}/predict"

_LONGEST_ROW = 65_535


class Predict(PredictionRoute):
    """Either route; metrics call it by its path."""

    def __init__(self, answering: Answering, route: str = "/predict") -> None:
        super().__init__(answering, PredictReplies(answering.metrics, route))
        self.longest_row = min(_LONGEST_ROW, answering.max_body_bytes)
        """A single row longer than this many bytes is not looked for."""

    def _shows_csv(self, headers: SentHeaders) -> bool:
        return headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == b"text/csv"

    async def _answer(
        self, served: ServedModel | None, scope: Scope, receive: Receive, headers: SentHeaders
    ) -> tuple[Written, int]:
        reader: Reader | RowsMedia = Predictor.predict
        content_type, encoding = headers.get(b"content-type"), headers.get(b"content-encoding")
        if content_type != b"application/json" or encoding is not None:
            reader = _reader(content_type, encoding)
        query = scope.get("query_string") or b""
        sure = query != b"" and predict_file.asked_for(query)
        if callable(reader):
            body = await self.answering.receive(served, headers.get(b"content-length"), receive)
            if served is None:
                raise self.answering.no_model_in_use()
            reply, rows = await self._answer_body(served, _SURE_READER if sure else reader, body)
            return Written(reply, (JSON,)), rows
        if served is None:
            raise self.answering.no_model_in_use()
        return await predict_file.answer(Request(scope, receive), served.predictor, reader, sure)

    async def _answer_body(
        self, served: ServedModel, reader: Reader, body: bytes
    ) -> tuple[bytes, int]:
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


def _reader(content_type: bytes | None, encoding: bytes | None) -> Reader | RowsMedia:
    check_encoding((encoding or b"").decode("latin-1"))
    kind, _, parameters = (content_type or b"").partition(b";")
    kind = kind.strip().lower()
    check_charset(kind.decode("latin-1"), parameters.decode("latin-1"))
    if kind not in READERS:
        accepted = [name.decode() for name in READERS]
        raise UnsupportedMediaType(f"{kind.decode('latin-1')[:64]!r}" if kind else "", accepted)
    return READERS[kind]
