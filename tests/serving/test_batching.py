"""Batches of rows, in a thread or on the event loop: each row gets its own answer."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Gauge
from sklearn.datasets import load_iris

from service.common.errors import InvalidRequest, Overloaded
from service.schema.decoder import Row
from service.serving.admission import Admission
from service.serving.batching import LoopBatcher, ThreadBatcher
from service.serving.latency_model import LatencyModel
from tests.support.server import Client
from tests.support.waiting import wait_until


class FakePredictor:
    """Answers a row with its first number once the test permits it, and records each batch."""

    def __init__(self, most: int = 64, seconds: float = 0.001) -> None:
        self.max_thread_batch = most
        self.latency_model = LatencyModel(seconds, 64 * seconds)
        self.seconds_of_batched_row = seconds
        self.runs: list[tuple[list[float], bool]] = []
        self.let = threading.Event()
        self.begun = threading.Semaphore(0)
        self.fails = False

    def target_queue_seconds(self, body_bytes: int) -> float:
        return 0.05 + self.more_queue_seconds(body_bytes) / 2

    def more_queue_seconds(self, body_bytes: int) -> float:
        return body_bytes / 1e6

    def predict_batch(self, rows: Sequence[Row], probabilities: bool) -> list[bytes | Exception]:
        self.runs.append(([row[0] for row in rows], probabilities))
        self.begun.release()
        assert self.let.wait(10)
        if self.fails:
            raise ValueError("no answer")
        bad = InvalidRequest("It cannot be.", [])
        return [b"%d" % row[0] if row[0] >= 0 else bad for row in rows]


class Scene:
    """A queue with this many threads, and the answers to its requests."""

    def __init__(
        self, predictor: FakePredictor, threads: int = 1, most: int = 64, cores: int = 2
    ) -> None:
        self.gauge = Gauge("in_flight", "For a test.", registry=CollectorRegistry())
        self.batcher = ThreadBatcher(Admission(most, self.gauge), threads, cores)
        self.predictor = predictor
        self.asked: list[asyncio.Task[Any]] = []

    async def ask(
        self, *rows: float, probabilities: bool = False, of: FakePredictor | None = None
    ) -> None:
        predictor: Any = self.predictor if of is None else of
        for row in rows:
            asking = self.batcher.answer_row(predictor, (row,), probabilities, 100)
            self.asked.append(asyncio.create_task(asking))
        await asyncio.sleep(0)

    async def run(self, body: bytes, function: Callable[[], object]) -> None:
        predictor: Any = self.predictor
        running = self.batcher.run(predictor, len(body), float(body), function)
        self.asked.append(asyncio.create_task(running))
        await asyncio.sleep(0)

    async def has_begun(self) -> None:
        await asyncio.to_thread(self.predictor.begun.acquire)

    async def answers(self) -> list[Any]:
        self.predictor.let.set()
        answers = await asyncio.gather(*self.asked, return_exceptions=True)
        self.batcher.close()
        return answers


def test_a_request_alone_waits_for_nobody_and_those_meanwhile_go_together() -> None:
    predictor = FakePredictor()

    async def run() -> list[Any]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, 2, 3)
        return await scene.answers()

    assert asyncio.run(run()) == [b"0", b"1", b"2", b"3"]
    assert predictor.runs == [([0], False), ([1, 2, 3], False)]


def test_each_thread_has_a_batch_and_none_is_larger_than_what_pays() -> None:
    predictor = FakePredictor(most=2)

    async def run() -> list[Any]:
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
        runs = len(predictor.runs)
        await scene.answers()
        return runs

    assert asyncio.run(begun(a_batch=2)) == 1
    assert asyncio.run(begun(a_batch=1)) == 2


def test_those_with_probabilities_go_by_themselves_and_the_eldest_goes_first() -> None:
    predictor = FakePredictor()

    async def run() -> list[Any]:
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
    async def run() -> list[Any]:
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

    async def run() -> tuple[list[Any], bytes]:
        scene = Scene(predictor)
        predictor.fails = True
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, 2)
        predictor.let.set()
        answers = await asyncio.gather(*scene.asked, return_exceptions=True)
        predictor.fails = False
        scene.asked = []
        await scene.ask(7)
        return answers, (await scene.answers())[0]

    answers, after = asyncio.run(run())

    assert [type(answer) for answer in answers] == [ValueError] * 3
    assert after == b"7"


def test_a_client_that_leaves_is_left_out_and_others_are_answered() -> None:
    predictor = FakePredictor()

    async def run() -> tuple[list[Any], float]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1, 2, 3)
        scene.asked[0].cancel()  # running
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
    ("seconds", "most", "admitted"), [(0.012, 64, 6), (0.012, 4, 4), (1.0, 64, 4), (0.0005, 64, 64)]
)
def test_rows_are_admitted_while_the_work_before_them_fits_into_their_time(
    seconds: float, most: int, admitted: int
) -> None:
    async def run() -> list[Any]:
        scene = Scene(FakePredictor(1, seconds), most=most)
        await scene.ask(*map(float, range(70)))
        return await scene.answers()

    answers = asyncio.run(run())

    assert sum(isinstance(answer, bytes) for answer in answers) == admitted
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 70 - admitted


def test_a_row_that_waited_too_long_is_refused_and_never_run() -> None:
    predictor = FakePredictor()

    async def run() -> list[Any]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        scene.batcher.max_queue_seconds = 0.0
        await scene.ask(1, 2)
        return await scene.answers()

    answers = asyncio.run(run())

    assert answers[0] == b"0"
    assert [type(answer) for answer in answers[1:]] == [Overloaded, Overloaded]
    assert predictor.runs == [([0], False)]


def test_a_larger_request_may_wait_longer() -> None:
    async def run() -> list[Any]:
        scene = Scene(FakePredictor())
        await scene.ask(0)
        await scene.has_begun()
        scene.batcher.max_queue_seconds = 0.0
        await scene.run(b"0.001".rjust(10_000_000), lambda: "large")
        await scene.run(b"0.001", lambda: "small")
        return await scene.answers()

    answers = asyncio.run(run())

    assert answers[:2] == [b"0", "large"]
    assert isinstance(answers[2], Overloaded)


def test_a_request_of_many_rows_keeps_its_place_among_single_rows() -> None:
    predictor = FakePredictor()
    order: list[object] = []

    async def run() -> list[Any]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        await scene.run(b"0.001", lambda: order.append([run for run, _ in predictor.runs]))
        await scene.ask(1, 2)
        return await scene.answers()

    asyncio.run(run())

    assert order == [[[0]]]
    assert predictor.runs == [([0], False), ([1, 2], False)]


def test_rows_of_two_models_never_share_a_run() -> None:
    predictor, other = FakePredictor(), FakePredictor()
    other.let.set()

    async def run() -> list[Any]:
        scene = Scene(predictor)
        await scene.ask(0)
        await scene.has_begun()
        await scene.ask(1)
        await scene.ask(2, of=other)
        await scene.ask(3)
        return await scene.answers()

    assert asyncio.run(run()) == [b"0", b"1", b"2", b"3"]
    assert predictor.runs == [([0], False), ([1, 3], False)]
    assert other.runs == [([2], False)]


def _answer(client: Client, body: object) -> Any:
    """Predict; a model that a busy machine makes slow refuses some of a crowd at first."""

    def answered() -> Any:
        response = client.predict(body)
        return None if response.status_code == 503 else response.json()

    return wait_until(answered)


@pytest.mark.slow
def test_a_native_model_answers_a_crowd_as_it_answers_each_alone(client: Client) -> None:
    client.train(name="near", dataset="iris", model_type="KNeighborsClassifier")
    X = load_iris().data
    rows = np.round(X + np.random.default_rng(0).normal(0, 0.3, X.shape), 3).tolist()
    bodies = [
        {"instances": [row], **({"probabilities": True} if index % 3 == 0 else {})}
        for index, row in enumerate(rows)
    ]
    alone = [_answer(client, body) for body in bodies]
    found: dict[int, object] = {}

    def ask(first: int) -> None:
        with Client(base_url=client.base_url, timeout=30) as own:
            for index in range(first, len(bodies), 10):
                found[index] = _answer(own, bodies[index])

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [found[index] for index in range(len(bodies))] == alone
    wait_until(lambda: "service_predictions_in_flight 0.0" in client.get("/metrics").text)


class FakeLoopPredictor:
    """Answers a row with its first number, and records the size of each batch."""

    def __init__(self, most: int = 64, fails: bool = False) -> None:
        self.max_loop_batch = most
        self.fails = fails
        self.runs: list[tuple[int, bool]] = []

    def predict_rows(self, rows: Sequence[Row], probabilities: bool) -> list[bytes | Exception]:
        self.runs.append((len(rows), probabilities))
        if self.fails:
            raise ValueError("no answer")
        return [b"%d" % row[0] for row in rows]


class Crowd:
    """Adds rows, one iteration of the event loop at a time, and collects the answers."""

    def __init__(self, predictor: FakeLoopPredictor) -> None:
        self.answers: dict[int, bytes | Exception] = {}
        self._batcher: LoopBatcher[int] = LoopBatcher(predictor, self._take)  # type: ignore[arg-type]
        self._asked = 0

    def _take(self, waiting: Sequence[int], answers: Sequence[bytes | Exception]) -> None:
        assert not self.answers.keys() & waiting
        self.answers.update(zip(waiting, answers, strict=True))

    async def turn(self, *sure: bool) -> None:
        """Add one row per argument in one iteration: whether it asks for probabilities."""
        for probabilities in sure:
            self._batcher.add((float(self._asked),), probabilities, self._asked)
            self._asked += 1
        await asyncio.sleep(0)

    @property
    def right(self) -> bool:
        """Whether every request got the answer to its own row."""
        return self.answers == {index: b"%d" % index for index in range(self._asked)}


def _run(predictor: FakeLoopPredictor, *turns: Sequence[bool]) -> Crowd:
    async def run() -> Crowd:
        crowd = Crowd(predictor)
        for sure in turns:
            await crowd.turn(*sure)
        return crowd

    return asyncio.run(run())


def test_a_request_alone_is_answered_at_once() -> None:
    async def run() -> None:
        crowd = Crowd(predictor)
        for index in range(5):
            asking = crowd.turn(False)
            # Run until it yields to the event loop: a single request is answered before that.
            asking.send(None)
            assert len(crowd.answers) == index + 1
            await asyncio.sleep(0)
            asking.close()

    predictor = FakeLoopPredictor()
    asyncio.run(run())

    assert predictor.runs == [(1, False)] * 5


def test_a_crowd_shares_one_run_and_each_gets_its_own_answer() -> None:
    predictor = FakeLoopPredictor()

    crowd = _run(predictor, [False] * 2, [False] * 20, [False] * 20)

    # In the first iteration the batcher does not yet expect several rows.
    assert predictor.runs == [(1, False), (1, False), (20, False), (20, False)]
    assert crowd.right


def test_rows_with_and_without_probabilities_have_a_run_each() -> None:
    predictor = FakeLoopPredictor()

    crowd = _run(predictor, [False] * 2, [True, False] * 5)

    assert predictor.runs[2:] == [(5, False), (5, True)]
    assert crowd.right


def test_a_run_is_never_larger_than_the_predictor_allows() -> None:
    predictor = FakeLoopPredictor(most=8)

    crowd = _run(predictor, [False] * 2, [False] * 20)

    assert predictor.runs[2:] == [(8, False), (8, False), (4, False)]
    assert crowd.right


def test_a_run_that_fails_fails_every_request_in_it() -> None:
    crowd = _run(FakeLoopPredictor(fails=True), [False] * 2, [False, True, False])

    assert [type(answer) for answer in crowd.answers.values()] == [ValueError] * 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RandomForestClassifier", "LogisticRegression"])
def test_many_connections_get_the_answers_that_one_gets(client: Client, kind: str) -> None:
    client.train(name="crowd", dataset="iris", model_type=kind)
    rows: list[list[float]] = load_iris().data.tolist()
    expected = client.predict({"instances": rows}).json()["predictions"]
    wrong: list[tuple[int, str]] = []

    def ask(start: int) -> None:
        with Client(base_url=client.base_url, timeout=30) as own:
            for index in np.roll(np.arange(len(rows)), start).tolist():
                answer = _answer(own, {"instances": [rows[index]]})["predictions"]
                if answer != [expected[index]]:
                    wrong.append((index, str(answer)))

    threads = [threading.Thread(target=ask, args=(13 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
