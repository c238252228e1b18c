"""Routes that predict, as plain ASGI: what all have in common, and those of other protocols."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.api import predict_file, problems
from service.api.answering import Answering
from service.api.content_headers import check_encoding
from service.api.predict_replies import PredictReplies
from service.api.written import Written
from service.common.domain import RowsMedia
from service.common.errors import ClientGone, InvalidInput, ServiceError
from service.serving.question import Reader
from service.serving.served_model import ServedModel

SentHeaders = Mapping[bytes, bytes]


class PredictionRoute(ABC):
    """Answers requests of one route, from the model in use or from any version."""

    def __init__(self, answering: Answering, answers: PredictReplies) -> None:
        self.answering = answering
        self.answers = answers

    @abstractmethod
    async def _answer(
        self, served: ServedModel | None, scope: Scope, receive: Receive, headers: SentHeaders
    ) -> tuple[Written, int]:
        """Return the reply to a request and the number of its rows; raises a ServiceError.

        `served` is None where no model is in use, and none was named.
        """

    def _shows_csv(self, _: SentHeaders) -> bool:
        """Return whether the example for a wrong request is a file as the request was."""
        return False

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
            served = await self.answering.find(name, version, headers)
            written, rows = await self._answer(served, scope, receive, headers)
        except ServiceError as error:
            if served is None and name is None:
                served = self.answering.in_use()
            as_csv = self._shows_csv(headers)
            refusal, more = self.answers.refusal(error, served, sent_id, start, as_csv)
            await refusal.send(send, more)
            return
        except ClientGone:
            return
        except Exception as error:
            # The edge of the route: anything else is a defect of the service.
            await self.answers.defect(error, served, sent_id, start).send(send)
            return
        assert served is not None
        size = (b"content-length", b"%d" % len(written.body))
        sent = [*written.headers, *served.model_headers, size]
        if sent_id is not None:
            sent.append((b"x-request-id", problems.request_id_of(sent_id).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": sent})
        await send({"type": "http.response.body", "body": written.body})
        served.ok(perf_counter() - start, rows)
        self.answers.predicted(1)


class ProtocolRoute(PredictionRoute):
    """Answers requests of a protocol of others."""

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

        def explain(_: InvalidInput, served: ServedModel) -> dict[str, Any]:
            return {"example": example(served)} if served.predictor.guide.is_short else {}

        super().__init__(answering, PredictReplies(answering.metrics, route, shape, explain))
        self._open_reader = open_reader

    async def _answer(
        self, served: ServedModel | None, scope: Scope, receive: Receive, headers: SentHeaders
    ) -> tuple[Written, int]:
        check_encoding(headers.get(b"content-encoding", b"").decode("latin-1"))
        if served is None:
            raise self.answering.no_model_in_use()
        reader = self._open_reader(served, headers)
        if not isinstance(reader, str):
            length = headers.get(b"content-length")
            body = await self.answering.receive(served, length, receive)
            return await self.answering.answer(served.predictor, reader, body)
        request = Request(scope, receive)
        return await predict_file.answer(request, served.predictor, reader, False, "scoring")
