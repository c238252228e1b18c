"""Rows of several requests in one run: each gets its own answer, at once where it is alone."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.datasets import load_iris

from service.schema.decoder import Row
from service.serving.loop_batching import LoopBatcher
from tests.support.server import Client


class FakePredictor:
    """Answers a row with its first number, and remembers how many rows came together."""

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
    """Adds rows, a turn at a time, and takes the answers."""

    def __init__(self, predictor: FakePredictor) -> None:
        self.answers: dict[int, bytes | Exception] = {}
        self._turns: LoopBatcher[int] = LoopBatcher(predictor, self._take)  # type: ignore[arg-type]
        self._asked = 0

    def _take(self, waiting: Sequence[int], answers: Sequence[bytes | Exception]) -> None:
        assert not self.answers.keys() & waiting
        self.answers.update(zip(waiting, answers, strict=True))

    async def turn(self, *sure: bool) -> None:
        """Ask for so many rows in one turn, each with probabilities or without."""
        for probabilities in sure:
            self._turns.add((float(self._asked),), probabilities, self._asked)
            self._asked += 1
        await asyncio.sleep(0)

    @property
    def right(self) -> bool:
        """Whether everybody got the answer to the own row."""
        return self.answers == {index: b"%d" % index for index in range(self._asked)}


def _run(predictor: FakePredictor, *turns: Sequence[bool]) -> Crowd:
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
            # As far as its end of the turn, which a request alone does not wait for.
            asking.send(None)
            assert len(crowd.answers) == index + 1
            await asyncio.sleep(0)
            asking.close()

    predictor = FakePredictor()
    asyncio.run(run())

    assert predictor.runs == [(1, False)] * 5


def test_a_crowd_shares_one_run_and_each_gets_its_own_answer() -> None:
    predictor = FakePredictor()

    crowd = _run(predictor, [False] * 2, [False] * 20, [False] * 20)

    # The first turn finds out that there is a crowd.
    assert predictor.runs == [(1, False), (1, False), (20, False), (20, False)]
    assert crowd.right


def test_who_wants_probabilities_and_who_does_not_have_a_run_each() -> None:
    predictor = FakePredictor()

    crowd = _run(predictor, [False] * 2, [True, False] * 5)

    assert predictor.runs[2:] == [(5, False), (5, True)]
    assert crowd.right


def test_a_run_is_never_larger_than_the_predictor_allows() -> None:
    predictor = FakePredictor(most=8)

    crowd = _run(predictor, [False] * 2, [False] * 20)

    assert predictor.runs[2:] == [(8, False), (8, False), (4, False)]
    assert crowd.right


def test_a_run_that_fails_is_told_to_all_who_wait() -> None:
    crowd = _run(FakePredictor(fails=True), [False] * 2, [False, True, False])

    assert [type(answer) for answer in crowd.answers.values()] == [ValueError] * 5


@pytest.mark.parametrize("kind", ["RandomForestClassifier", "LogisticRegression"])
def test_many_connections_get_the_answers_that_one_gets(client: Client, kind: str) -> None:
    client.train(name="crowd", dataset="iris", model_type=kind)
    rows: list[list[float]] = load_iris().data.tolist()
    expected = client.predict({"instances": rows}).json()["predictions"]
    wrong: list[tuple[int, str]] = []

    def ask(start: int) -> None:
        with Client(base_url=client.base_url, timeout=30) as own:
            for index in np.roll(np.arange(len(rows)), start).tolist():
                answer = own.predict({"instances": [rows[index]]}).json()["predictions"]
                if answer != [expected[index]]:
                    wrong.append((index, str(answer)))

    threads = [threading.Thread(target=ask, args=(13 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
