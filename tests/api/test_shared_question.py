"""Clients that ask at the same time share one answer, even if one of them leaves."""

import asyncio

import pytest

from service.api.shared_question import SharedQuestion


class Oracle:
    """Answers with the number of the question, once it is released."""

    def __init__(self) -> None:
        self.asked = 0
        self.released = asyncio.Event()

    async def __call__(self) -> int:
        self.asked += 1
        await self.released.wait()
        return self.asked


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_all_that_ask_meanwhile_get_one_answer_and_the_next_a_new_one() -> None:
    async def scene() -> None:
        oracle = Oracle()
        question = SharedQuestion(oracle)
        asking = [asyncio.create_task(question.answer()) for _ in range(10)]
        await _turns()
        assert oracle.asked == 1

        oracle.released.set()
        assert await asyncio.gather(*asking) == [1] * 10
        assert await question.answer() == 2

    asyncio.run(scene())


def test_one_that_leaves_ends_nothing_for_the_others() -> None:
    async def scene() -> None:
        oracle = Oracle()
        question = SharedQuestion(oracle)
        leaving, staying = (asyncio.create_task(question.answer()) for _ in range(2))
        await _turns()

        leaving.cancel()
        await _turns()
        oracle.released.set()

        assert await staying == 1
        with pytest.raises(asyncio.CancelledError):
            await leaving

    asyncio.run(scene())


def test_an_error_is_told_to_all_and_kept_for_nobody_else() -> None:
    async def scene() -> None:
        asked: list[int] = []

        async def put() -> int:
            asked.append(7)
            if len(asked) == 1:
                raise ValueError("no")
            return asked[-1]

        question = SharedQuestion(put)
        first = await asyncio.gather(*(question.answer() for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in first] == ["no"] * 3
        assert await question.answer() == 7

    asyncio.run(scene())
