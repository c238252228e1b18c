"""Counters and problems of replies to requests for predictions, on either path."""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

from service.api import problems
from service.common.errors import (
    BodyTooLarge,
    ClassifierUnavailable,
    InvalidInput,
    ServiceError,
    clip,
)
from service.common.json_logs import request_id
from service.common.metrics import Metrics
from service.serving.served_model import Headers, ServedModel

logger = logging.getLogger(__name__)

DEFECT = "The service met an internal error; its log has the request's id."


def explain(error: InvalidInput, served: ServedModel) -> dict[str, Any]:
    """Return what a 400 of `/predict` adds: the model, what it expects, and an example."""
    predictor = served.predictor
    members, whole = predictor.guide.members(error.features)
    if not whole:
        members["detail"] = f"{clip(error, 520)} GET /schema shows all that the model expects."
    return {"model": {"name": predictor.name, "version": predictor.version}, **members}


class PredictReplies:
    """Makes and counts the replies of one route that predicts."""

    def __init__(
        self,
        metrics: Metrics,
        route: str = "/predict",
        shape: problems.Shape = problems.as_problem,
        explain: Callable[[InvalidInput, ServedModel], dict[str, Any]] = explain,
    ) -> None:
        """`explain` returns what an error adds for a request that a version does not take."""
        self._metrics = metrics
        self._route = route
        self._shape = shape
        self._explain = explain
        self.predicted: Callable[[int], None] = metrics.requests.labels(route, "POST", "200").inc
        """Counts requests that were answered with a prediction."""

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
                extra = self._explain(error, served)
                if as_csv and "example" in extra:
                    extra["example"] = served.predictor.guide.csv
        answer = problems.answer(error, identifier, extra, self._shape)
        if isinstance(error, BodyTooLarge):
            headers = [*headers, (b"connection", b"close")]
        self._count(answer)
        if answer.status < 500:
            self._metrics.invalid.labels(answer.slug).inc()
        if served is not None:
            outcome = "invalid" if answer.status < 500 else "refused"
            served.observe(outcome, perf_counter() - start)
            if isinstance(error, ClassifierUnavailable):
                served.fail()
        return answer, headers

    def defect(
        self, error: Exception, served: ServedModel | None, sent_id: bytes | None, start: float
    ) -> problems.Answer:
        """Log and count a defect, and return its problem."""
        identifier = problems.request_id_of(sent_id)
        request_id.set(identifier)
        logger.error("POST %s met a defect", self._route, exc_info=error)
        answer = problems.plain(500, DEFECT, identifier, shape=self._shape)
        self._count(answer)
        if served is not None:
            served.observe("error", perf_counter() - start)
            served.fail()
        return answer

    def _count(self, answer: problems.Answer) -> None:
        self._metrics.requests.labels(self._route, "POST", str(answer.status)).inc()
