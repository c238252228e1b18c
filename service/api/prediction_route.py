"""A route that predicts in a protocol of others, as plain ASGI: all that they have in common."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.api import predict_file, problems
from service.api.answering import Answering
from service.api.content_headers import check_encoding
from service.api.predict import send_reply
from service.api.predict_replies import PredictReplies
from service.api.written import Written
from service.common.domain import RowsMedia
from service.common.errors import ClientGone, InvalidInput, ServiceError
from service.serving.question import Reader
from service.serving.served_model import ServedModel

SentHeaders = Mapping[bytes, bytes]


class PredictionRoute:
    """Answers requests of one protocol."""

    def __init__(
        self,
        answering: Answering,
        route: str,
        shape: problems.Shape,
        example: Callable[[ServedModel], Any],
        open_reader: Callable[[ServedModel, SentHeaders], Reader[Written] | RowsMedia],
    ) -> None:
        """`route` is what metrics call it; `example` returns a request that a version takes.

        `open_reader` returns what reads the body of a request with these headers, or the format of
        the file that it is; it raises UnsupportedMediaType or InvalidRequest.
        """
        self._answering = answering
        self._open_reader = open_reader

        def explain(_: InvalidInput, served: ServedModel) -> dict[str, Any]:
            return {"example": example(served)} if served.predictor.guide.is_short else {}

        self.answers = PredictReplies(answering.metrics, route, shape, explain)

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        name: str | None = None,
        version: str | None = None,
    ) -> None:
        """Answer one request, from the model in use unless a model is named."""
        start = perf_counter()
        headers = dict(scope["headers"])
        sent_id = headers.get(b"x-request-id")
        served: ServedModel | None = None
        try:
            served = await self._answering.find(name, version, headers.get(b"x-min-epoch"))
            check_encoding(headers.get(b"content-encoding", b"").decode("latin-1"))
            if served is None:
                raise self._answering.no_model_in_use()
            reader = self._open_reader(served, headers)
            if isinstance(reader, str):
                reply, rows, kind = await predict_file.answer(
                    Request(scope, receive), served.predictor, reader, False, "scoring"
                )
                written = Written(reply, ((b"content-type", kind),))
            else:
                length = headers.get(b"content-length")
                body = await self._answering.receive(served, length, receive)
                written, rows = await self._answering.answer(served.predictor, reader, body)
        except ServiceError as error:
            refusal, more = self.answers.refusal(error, served, sent_id, start)
            await refusal.send(send, more)
            return
        except ClientGone:
            return
        except Exception as error:
            # The edge of the route: anything else is a defect of the service.
            await self.answers.defect(error, served, sent_id, start).send(send)
            return
        await send_reply(written.body, [*written.headers, *served.model_headers], sent_id, send)
        served.ok(perf_counter() - start, rows)
        self.answers.predicted(1)
