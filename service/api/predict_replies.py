"""Headers, counters and problems of replies to `/predict`, on either path.

Those of the model in use are made once.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any
from urllib.parse import quote

from service.api import problems
from service.common.errors import BodyTooLarge, InvalidInput, ServiceError, clip
from service.common.json_logs import request_id
from service.common.metrics import Metrics
from service.serving.batching import LoopBatcher, deliver
from service.serving.current_model import CurrentModel, LoadedVersion
from service.serving.predictor import Predictor

logger = logging.getLogger(__name__)

DEFECT = "The service met an internal error; its log has the request's id."

_JSON = (b"content-type", b"application/json")

Headers = Sequence[tuple[bytes, bytes]]


class ServedModel:
    """Headers, counters and batcher of one model in use; made on the event loop's thread."""

    def __init__(self, in_use: LoadedVersion, metrics: Metrics) -> None:
        self.in_use = in_use
        self.predictor = in_use.predictor
        self.model_headers = model_headers(in_use)
        self.headers = [_JSON, *self.model_headers]
        """The headers of a prediction without its length."""
        self._latencies = metrics.predict.open(in_use.name, in_use.version)
        self.ok = self._latencies["ok"].observe
        self.loop_batcher: LoopBatcher[asyncio.Future[bytes]] = LoopBatcher(self.predictor, deliver)
        self._metrics = metrics

    def observe(self, outcome: str, seconds: float) -> None:
        """Count a request that was not answered with a prediction."""
        self._latencies[outcome].observe(seconds)

    def close(self) -> None:
        """Say that another model is in use from now on."""
        self._metrics.predict.close(self.in_use.name, self.in_use.version)


def model_headers(in_use: LoadedVersion) -> list[tuple[bytes, bytes]]:
    """Return the headers of a reply that used this model.

    Others may have named it with characters that no header holds; its name is written as in a URL.
    """
    return [
        (b"x-model-name", quote(in_use.name, safe="").encode()),
        (b"x-model-version", str(in_use.version).encode()),
        (b"x-model-epoch", str(in_use.epoch).encode()),
    ]


class PredictReplies:
    """Makes and counts what is answered from the model in use."""

    def __init__(self, current_model: CurrentModel, metrics: Metrics) -> None:
        self.current_model = current_model
        self._metrics = metrics
        self._served: ServedModel | None = None
        self.predicted: Callable[[int], None] = metrics.requests.labels(
            "/predict", "POST", "200"
        ).inc
        """Counts requests that were answered with a prediction."""

    def served(self) -> ServedModel | None:
        """Return the model in use; None before the first."""
        in_use = self.current_model.in_use
        served = self._served
        if in_use is None:
            return None
        if served is None or served.in_use is not in_use:
            if served is not None:
                served.close()
            self._served = served = ServedModel(in_use, self._metrics)
        return served

    def refusal(
        self,
        error: ServiceError,
        served: ServedModel | None,
        sent_id: bytes | None,
        start: float,
        as_csv: bool = False,
    ) -> tuple[problems.Answer, Headers]:
        """Count an error; return its problem, and headers to send besides the problem's own."""
        identifier = problems.request_id_of(sent_id)
        request_id.set(identifier)
        extra: dict[str, Any] = {}
        headers: Headers = ()
        if served is not None:
            headers = served.model_headers
            if isinstance(error, InvalidInput):
                extra = _explained(error, served.predictor)
                if as_csv and "example" in extra:
                    extra["example"] = served.predictor.guide.csv
        answer = problems.answer(error, identifier, extra)
        if isinstance(error, BodyTooLarge):
            headers = [*headers, (b"connection", b"close")]
        self._count(answer)
        if answer.status < 500:
            self._metrics.invalid.labels(answer.slug).inc()
        if served is not None:
            outcome = "invalid" if answer.status < 500 else "refused"
            served.observe(outcome, perf_counter() - start)
        return answer, headers

    def defect(
        self, error: Exception, served: ServedModel | None, sent_id: bytes | None, start: float
    ) -> problems.Answer:
        """Log and count a defect, and return its problem."""
        identifier = problems.request_id_of(sent_id)
        request_id.set(identifier)
        logger.error("POST /predict met a defect", exc_info=error)
        answer = problems.plain(500, DEFECT, identifier)
        self._count(answer)
        if served is not None:
            served.observe("error", perf_counter() - start)
        return answer

    def _count(self, answer: problems.Answer) -> None:
        self._metrics.requests.labels("/predict", "POST", str(answer.status)).inc()


def _explained(error: InvalidInput, predictor: Predictor) -> dict[str, Any]:
    """Return what a 400 of `/predict` adds: the model, what it expects, and an example."""
    members, whole = predictor.guide.members(error.features)
    if not whole:
        members["detail"] = f"{clip(error, 520)} GET /schema shows all that the model expects."
    return {"model": {"name": predictor.name, "version": predictor.version}, **members}
