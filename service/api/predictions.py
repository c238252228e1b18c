"""All routes that predict: which of them answers which path."""

import re
from collections.abc import Awaitable, Callable

from service.api.answering import Answering
from service.api.inference.infer import infer_route, v1_route
from service.api.predict import OF_VERSION, Predict
from service.api.scoring.invocations import INVOCATIONS, invocations_route

Prediction = Callable[..., Awaitable[None]]
"""An ASGI application that takes the name of a model and the number of a version besides."""


class Predictions:
    """The routes that answer before FastAPI sees a request."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.predict = Predict(answering)
        self.infer = infer_route(answering)
        self.invocations = invocations_route(answering)
        self._by_pattern: tuple[tuple[re.Pattern[str], Prediction], ...] = (
            (re.compile("/v2/models/([^/]+)(?:/versions/([^/]+))?/infer"), self.infer),
            (re.compile(INVOCATIONS), self.invocations),
            (
                re.compile("/models/([^/]+)/versions/([^/]+)/predict"),
                Predict(answering, OF_VERSION),
            ),
            (re.compile("/v1/models/([^/:]+):predict"), v1_route(answering)),
        )

    def find(self, path: str) -> tuple[Prediction, tuple[str | None, ...]] | None:
        """Return what answers a POST to this path, and the model and version that it names."""
        if path == "/predict":
            return self.predict, ()
        for pattern, answer in self._by_pattern:
            if found := pattern.fullmatch(path):
                return answer, found.groups()
        return None
