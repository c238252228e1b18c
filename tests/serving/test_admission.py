"""Threads for slow predictions: who is let in, who waits, and who is refused at once."""

import asyncio
import threading
import time

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.common.errors import Overloaded
from service.serving.admission import Admission


def _admission(threads: int = 1, most: int = 64) -> tuple[Admission, Gauge]:
    gauge = Gauge("in_flight", "For a test.", registry=CollectorRegistry())
    return Admission(threads, most, gauge), gauge


async def _burst(
    admission: Admission, count: int, release: threading.Event
) -> list[bool | BaseException]:
    tasks = [
        asyncio.create_task(admission.run(admission.max_queue_seconds, release.wait, 10))
        for _ in range(count)
    ]
    await asyncio.sleep(0)
    release.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("seconds", "most", "threads", "admitted"),
    [(0.006, 64, 2, 18), (0.006, 8, 2, 8), (1.0, 64, 2, 4), (1.0, 2, 2, 2), (0.0001, 64, 1, 64)],
)
def test_as_many_are_let_in_as_are_expected_to_be_begun_in_half_the_time(
    seconds: float, most: int, threads: int, admitted: int
) -> None:
    admission, gauge = _admission(threads, most)
    admission.expect(seconds)

    answers = asyncio.run(_burst(admission, 70, threading.Event()))

    assert sum(answer is True for answer in answers) == admitted
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 70 - admitted
    assert [s.value for family in gauge.collect() for s in family.samples] == [0]
    admission.close()


def test_who_brings_more_patience_waits_longer_and_is_let_in_behind_more() -> None:
    admission, _ = _admission()
    admission.expect(0.15)

    async def scene() -> list[object]:
        first = admission.run(admission.max_queue_seconds, time.sleep, 0.15)
        patient = [admission.run(10.0, str, index) for index in range(20)]
        return await asyncio.gather(first, *patient, return_exceptions=True)

    assert asyncio.run(scene()) == [None, *map(str, range(20))]
    admission.close()


def test_who_waited_too_long_is_refused_and_never_run() -> None:
    admission, _ = _admission()
    ran: list[int] = []

    async def scene() -> tuple[object, object]:
        first = asyncio.create_task(admission.run(admission.max_queue_seconds, time.sleep, 0.15))
        late = asyncio.create_task(admission.run(admission.max_queue_seconds, ran.append, 1))
        return await asyncio.gather(first, late, return_exceptions=True)

    answers = asyncio.run(scene())

    assert answers[0] is None
    assert isinstance(answers[1], Overloaded)
    assert ran == []
    admission.close()


def test_a_model_that_proves_slow_lets_in_fewer_and_one_slip_hardly_counts() -> None:
    admission, _ = _admission()
    admission.expect(0.0005)
    event = threading.Event()

    async def scene() -> tuple[int, int]:
        await admission.run(admission.max_queue_seconds, time.sleep, 0.2)
        after_one = sum(answer is True for answer in await _burst(admission, 70, event))
        for _ in range(40):
            await admission.run(admission.max_queue_seconds, time.sleep, 0.01)
        event.clear()
        return after_one, sum(answer is True for answer in await _burst(admission, 70, event))

    after_one, after_many = asyncio.run(scene())

    assert after_one == 64
    assert after_many <= 16
    admission.close()
