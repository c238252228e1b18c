"""Rows of several requests in one run: each gets its own answer, at once where it is alone."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.datasets import load_iris

from service.api.turns import Turns
from tests.server import Client


class FakePredictor:
    """Answers a row with its first number, and remembers how many rows came together."""

    def __init__(self, most: int = 64, fails: bool = False) -> None:
        self.rows_a_turn = most
        self.fails = fails
        self.runs: list[int] = []

    def predict_rows(self, rows: Sequence[tuple[float, ...]]) -> list[bytes]:
        self.runs.append(len(rows))
        if self.fails:
            raise ValueError("no answer")
        return [b"%d" % row[0] for row in rows]


async def _ask(turns: Turns, value: int) -> bytes:
    if turns.alone():
        return b"%d" % value
    return await turns.join((float(value),))


async def _crowd(turns: Turns, count: int) -> list[bytes | BaseException]:
    return await asyncio.gather(*(_ask(turns, i) for i in range(count)), return_exceptions=True)


def test_a_request_alone_is_answered_at_once() -> None:
    async def run(predictor: FakePredictor) -> list[bool]:
        turns = Turns(predictor)  # type: ignore[arg-type]
        alone = []
        for _ in range(5):
            alone.append(turns.alone())
            await asyncio.sleep(0)
        return alone

    predictor = FakePredictor()

    assert asyncio.run(run(predictor)) == [True] * 5
    assert predictor.runs == []


def test_a_crowd_shares_one_run_and_each_gets_its_own_answer() -> None:
    async def run(predictor: FakePredictor) -> None:
        turns = Turns(predictor)  # type: ignore[arg-type]
        for _ in range(3):
            assert await _crowd(turns, 20) == [b"%d" % i for i in range(20)]

    predictor = FakePredictor()
    asyncio.run(run(predictor))

    # The first turn finds out that there is a crowd.
    assert predictor.runs == [20, 20]


def test_a_run_is_never_larger_than_the_predictor_allows() -> None:
    async def run(predictor: FakePredictor) -> None:
        turns = Turns(predictor)  # type: ignore[arg-type]
        await _crowd(turns, 2)
        assert await _crowd(turns, 20) == [b"%d" % i for i in range(20)]

    predictor = FakePredictor(most=8)
    asyncio.run(run(predictor))

    assert predictor.runs == [8, 8, 4]


def test_a_run_that_fails_is_told_to_all_who_wait() -> None:
    async def run(predictor: FakePredictor) -> list[bytes | BaseException]:
        turns = Turns(predictor)  # type: ignore[arg-type]
        await _crowd(turns, 2)
        return await _crowd(turns, 3)

    answers = asyncio.run(run(FakePredictor(fails=True)))

    assert [type(answer) for answer in answers] == [ValueError] * 3


def test_a_client_that_leaves_disturbs_nobody() -> None:
    async def run(predictor: FakePredictor) -> None:
        turns = Turns(predictor)  # type: ignore[arg-type]
        await _crowd(turns, 2)
        tasks = [asyncio.create_task(_ask(turns, i)) for i in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        assert await tasks[0] == b"0"
        assert await tasks[2] == b"2"

    asyncio.run(run(FakePredictor()))


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
