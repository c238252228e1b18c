"""The predict route as plain ASGI: when a request is refused, and how large a refusal is."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.api.predict import Predict
from service.common.metrics import Metrics
from service.rollout.hold import Hold
from service.serving.current_model import CurrentModel, LoadedVersion
from tests.support.classifiers import FakeClassifier, predictor_of
from tests.support.site import answering_of

BODY = b'{"instances": [[1.5, 2]]}'


class Stuck(FakeClassifier):
    """A classifier that blocks until the test releases it."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()

    def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
        self.go.wait(10)
        return super().labels(X)


@dataclass
class Exchange:
    """One request and its response."""

    body: bytes
    read: bool = False
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    reply: bytes = b""

    async def run(self, predict: Predict) -> "Exchange":
        await predict({"headers": [(b"content-type", b"application/json")]}, self._get, self._take)
        return self

    async def _get(self) -> MutableMapping[str, Any]:
        self.read = True
        return {"type": "http.request", "body": self.body}

    async def _take(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.reply += message["body"]


def _serve(
    classifier: FakeClassifier, scene: Callable[[Predict], Any], width: int = 2, most: int = 2
) -> Any:
    async def run() -> Any:
        current_model = CurrentModel()
        current_model.swap(LoadedVersion(predictor_of(classifier, width), 1, ""))
        predict = Predict(answering_of(current_model, Hold(), Metrics(), most=most))
        try:
            return await scene(predict)
        finally:
            predict.answering.close()

    return asyncio.run(run())


def test_a_slow_model_refuses_before_the_body_is_read() -> None:
    classifier = Stuck()
    classifier.seconds = 0.003

    async def scene(predict: Predict) -> list[Exchange]:
        classifier.go.clear()
        first = [asyncio.create_task(Exchange(BODY).run(predict)) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await Exchange(BODY).run(predict)
        classifier.go.set()
        return [refused, *await asyncio.gather(*first)]

    refused, *answered = _serve(classifier, scene)

    assert [exchange.status for exchange in answered] == [200, 200]
    assert refused.status == 503
    assert not refused.read
    assert 1 <= int(refused.headers[b"retry-after"]) <= 5
    assert json.loads(refused.reply)["type"] == "/problems/overloaded"


def test_a_request_that_waited_too_long_for_a_thread_gets_503() -> None:
    classifier = FakeClassifier()

    async def scene(predict: Predict) -> list[Exchange]:
        classifier.seconds = 0.15
        return await asyncio.gather(*(Exchange(BODY).run(predict) for _ in range(2)))

    classifier.seconds = 0.003

    assert [exchange.status for exchange in _serve(classifier, scene)] == [200, 503]


@pytest.mark.parametrize("instances", [[{"featuer 1": 1}], [{f"f{i}": 1 for i in range(20)}]])
def test_a_refusal_of_a_wide_model_is_small_and_does_not_block_the_event_loop(
    instances: list[Any],
) -> None:
    async def scene(predict: Predict) -> tuple[Exchange, float]:
        gap = 0.0
        body = json.dumps({"instances": instances}).encode()
        task = asyncio.create_task(Exchange(body).run(predict))
        while not task.done():
            start = time.thread_time()
            await asyncio.sleep(0.0005)
            gap = max(gap, time.thread_time() - start)
        return task.result(), gap

    refused, gap = _serve(FakeClassifier(), scene, width=9000)

    problem = json.loads(refused.reply)
    assert refused.status == 400
    assert len(refused.reply) < 8192
    assert len(problem["expected"]["features"]) <= 20
    assert "example" not in problem
    assert problem["detail"].endswith(" GET /schema shows all that the model expects.")
    assert gap < 0.005


def test_a_client_that_leaves_before_its_body_is_no_invalid_input() -> None:
    async def scene(predict: Predict) -> list[str]:
        sent: list[str] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message["type"])

        await predict({"headers": [(b"content-type", b"application/json")]}, receive, send)
        return sent

    assert _serve(FakeClassifier(), scene) == []
