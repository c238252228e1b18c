"""Rows for a slow model: those that wait for a thread are answered by one run."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Gauge
from sklearn.datasets import load_iris

from service.common.errors import InvalidRequest, Overloaded
from service.schema.decoder import Row
from service.serving.admission import Admission
from service.serving.batching import ThreadBatcher
from tests.support.server import Client
from tests.support.waiting import wait_until


class FakePredictor:
    """Answers a row with its first number once it is let, and remembers what came together."""

    def __init__(self, most: int = 64) -> None:
        self.max_thread_batch = most
        self.target_queue_seconds = 0.05
        self.runs: list[tuple[list[float], bool]] = []
        self.let = threading.Event()
        self.begun = threading.Semaphore(0)
        self.fails = False

    def predict_batch(self, rows: Sequence[Row], probabilities: bool) -> list[bytes | Exception]:
        self.runs.append(([row[0] for row in rows], probabilities))
        self.begun.release()
        assert self.let.wait(10)
        if self.fails:
            raise ValueError("no answer")
        bad = InvalidRequest("It cannot be.", [])
        return [b"%d" % row[0] if row[0] >= 0 else bad for row in rows]


class Scene:
    """A crew of so many threads, and the answers to what was asked of it."""

    def __init__(
        self, predictor: FakePredictor, threads: int = 1, most: int = 64, cores: int = 2
    ) -> None:
        self.gauge = Gauge("in_flight", "For a test.", registry=CollectorRegistry())
        self.admission = Admission(threads, most, self.gauge, cores)
        self.predictor = predictor
        self.batches = ThreadBatcher(self.admission, predictor)  # type: ignore[arg-type]
        self.asked: list[asyncio.Task[bytes]] = []

    async def ask(self, *rows: float, probabilities: bool = False) -> None:
        for row in rows:
            asking = self.batches.answer((row,), probabilities)
            self.asked.append(asyncio.create_task(asking))
        await asyncio.sleep(0)

    async def has_begun(self) -> None:
        await asyncio.to_thread(self.predictor.begun.acquire)

    async def answers(self) -> list[bytes | BaseException]:
        self.predictor.let.set()
        found = await asyncio.gather(*self.asked, return_exceptions=True)
        self.admission.close()
        return found


def test_a_request_alone_waits_for_nobody_and_those_meanwhile_go_together() -> None:
    predictor = FakePredictor()

    async def run() -> list[bytes | BaseException]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, 2, 3)
        return await scene.answers()

    assert asyncio.run(run()) == [b"0", b"1", b"2", b"3"]
    assert predictor.runs == [([0], False), ([1, 2, 3], False)]


def test_each_thread_has_a_batch_and_none_is_larger_than_what_pays() -> None:
    predictor = FakePredictor(most=2)

    async def run() -> list[bytes | BaseException]:
        scene = Scene(predictor, threads=2)
        await scene.ask(0, 1)
        await scene.has_begun()
        await scene.has_begun()
        await scene.ask(2, 3, 4, 5, 6)
        return await scene.answers()

    assert asyncio.run(run()) == [b"%d" % index for index in range(7)]
    assert sorted(predictor.runs[:2]) == [([0], False), ([1], False)]
    assert sorted(predictor.runs[2:]) == [([2, 3], False), ([4, 5], False), ([6], False)]


def test_batches_share_no_core_and_runs_of_single_rows_do() -> None:
    async def begun(a_batch: int) -> int:
        predictor = FakePredictor(a_batch)
        scene = Scene(predictor, threads=2, cores=1)
        await scene.ask(0, 1, 2)
        await scene.has_begun()
        if a_batch == 1:
            await scene.has_begun()
        found = len(predictor.runs)
        await scene.answers()
        return found

    assert asyncio.run(begun(a_batch=2)) == 1
    assert asyncio.run(begun(a_batch=1)) == 2


def test_those_with_probabilities_go_by_themselves_and_the_eldest_goes_first() -> None:
    predictor = FakePredictor()

    async def run() -> list[bytes | BaseException]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, probabilities=True)
        await scene.ask(2)
        await scene.ask(3, probabilities=True)
        return await scene.answers()

    assert asyncio.run(run()) == [b"0", b"1", b"2", b"3"]
    assert predictor.runs == [([0], False), ([1, 3], True), ([2], False)]


def test_one_that_cannot_be_answered_fails_alone() -> None:
    async def run() -> list[bytes | BaseException]:
        scene = Scene(FakePredictor())
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, -2, 3)
        return await scene.answers()

    answers = asyncio.run(run())

    assert [answers[0], answers[1], answers[3]] == [b"0", b"1", b"3"]
    assert isinstance(answers[2], InvalidRequest)


def test_a_run_that_fails_is_told_to_all_that_were_in_it_and_the_next_one_goes_on() -> None:
    predictor = FakePredictor()

    async def run() -> tuple[list[bytes | BaseException], bytes]:
        scene = Scene(predictor)
        predictor.fails = True
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, 2)
        predictor.let.set()
        found = await asyncio.gather(*scene.asked, return_exceptions=True)
        predictor.fails = False
        after = await scene.batches.answer((7.0,), False)
        scene.admission.close()
        return found, after

    answers, after = asyncio.run(run())

    assert [type(answer) for answer in answers] == [ValueError] * 3
    assert after == b"7"


def test_who_leaves_is_left_out_and_nobody_else_suffers() -> None:
    predictor = FakePredictor()

    async def run() -> tuple[list[bytes | BaseException], float]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, 2, 3)
        scene.asked[0].cancel()  # under way
        scene.asked[2].cancel()  # still waiting
        found = await scene.answers()
        return found, next(s.value for f in scene.gauge.collect() for s in f.samples)

    answers, in_flight = asyncio.run(run())

    assert [answers[1], answers[3]] == [b"1", b"3"]
    assert isinstance(answers[0], asyncio.CancelledError)
    assert isinstance(answers[2], asyncio.CancelledError)
    assert predictor.runs == [([0], False), ([1, 3], False)]
    assert in_flight == 0


@pytest.mark.parametrize(
    ("seconds", "most", "a_batch", "admitted"),
    [(0.01, 64, 1, 6), (0.01, 64, 4, 24), (0.01, 12, 4, 12), (1.0, 64, 1, 4), (1.0, 64, 4, 4)],
)
def test_as_many_are_let_in_as_are_expected_to_be_begun_in_half_the_time(
    seconds: float, most: int, a_batch: int, admitted: int
) -> None:
    async def run() -> list[bytes | BaseException]:
        scene = Scene(FakePredictor(a_batch), most=most)
        scene.admission.expect(seconds)
        await scene.ask(*map(float, range(70)))
        return await scene.answers()

    answers = asyncio.run(run())

    assert sum(isinstance(answer, bytes) for answer in answers) == admitted
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 70 - admitted


def test_who_waited_too_long_is_refused_and_never_run() -> None:
    predictor = FakePredictor()

    async def run() -> list[bytes | BaseException]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, 2)
        await asyncio.sleep(0.12)  # what the tenth of a second is about
        return await scene.answers()

    answers = asyncio.run(run())

    assert answers[0] == b"0"
    assert [type(answer) for answer in answers[1:]] == [Overloaded, Overloaded]
    assert predictor.runs == [([0], False)]


def test_a_native_model_answers_a_crowd_as_it_answers_each_alone(client: Client) -> None:
    client.train(name="near", dataset="iris", model_type="KNeighborsClassifier")
    X = load_iris().data
    rows = np.round(X + np.random.default_rng(0).normal(0, 0.3, X.shape), 3).tolist()
    bodies = [
        {"instances": [row], **({"probabilities": True} if index % 3 == 0 else {})}
        for index, row in enumerate(rows)
    ]
    alone = [client.predict(body).json() for body in bodies]
    found: dict[int, object] = {}

    def ask(first: int) -> None:
        with Client(base_url=client.base_url, timeout=30) as own:
            for index in range(first, len(bodies), 10):
                found[index] = own.predict(bodies[index]).json()

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [found[index] for index in range(len(bodies))] == alone
    wait_until(lambda: "service_predictions_in_flight 0.0" in client.get("/metrics").text)
