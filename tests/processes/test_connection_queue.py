"""Connections are lent in the order of arrival, with a deadline, and never after closing."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from service.common.errors import Overloaded
from service.processes.connection_queue import ConnectionQueue
from tests.support.waiting import wait_until


class FakeConnection:
    def __init__(self, name: str = "") -> None:
        self.name = name
        self.interrupted = threading.Event()
        self.closed = False

    def interrupt(self) -> None:
        self.interrupted.set()

    def close(self) -> None:
        self.closed = True


def is_waiting(queue: ConnectionQueue[FakeConnection], count: int) -> bool:
    return queue.waiting == count


def test_the_first_connection_is_lent_first_and_returned() -> None:
    queue = ConnectionQueue([FakeConnection("first"), FakeConnection("second")])

    with queue.lend(0) as one, queue.lend(0) as other:
        assert (one.name, other.name) == ("first", "second")
        assert queue.lent == 2

    assert queue.lent == 0


def test_connections_are_lent_in_the_order_of_arrival() -> None:
    queue = ConnectionQueue([FakeConnection()])
    order: list[int] = []

    def use(number: int) -> None:
        with queue.lend(30):
            order.append(number)

    with ThreadPoolExecutor(6) as pool:
        with queue.lend(0):
            for number in range(6):
                pool.submit(use, number)
                wait_until(partial(is_waiting, queue, number + 1))
        pool.submit(use, 6)  # Arrives while the others may still wait.

    assert order == list(range(7))


def test_a_caller_that_returns_a_connection_and_asks_again_queues_behind_those_that_wait() -> None:
    queue = ConnectionQueue([FakeConnection()])
    order: list[str] = []

    def single_row() -> None:
        with queue.lend(30):
            order.append("row")

    with ThreadPoolExecutor(1) as pool:
        for part in range(3):
            with queue.lend(30):
                order.append(f"part {part}")
                if part == 0:
                    pool.submit(single_row)
                    wait_until(lambda: queue.waiting == 1)

    assert order == ["part 0", "row", "part 1", "part 2"]


def test_a_caller_that_waited_too_long_is_refused_and_does_not_block_the_next() -> None:
    queue = ConnectionQueue([FakeConnection()])

    with queue.lend(0), pytest.raises(Overloaded), queue.lend(0.01):
        pass

    assert queue.waiting == 0
    with queue.lend(0):
        assert queue.lent == 1


def test_callers_waiting_at_the_close_and_later_ones_get_no_connection() -> None:
    connections = [FakeConnection(), FakeConnection()]
    queue = ConnectionQueue(connections)
    with ThreadPoolExecutor(1) as pool, queue.lend(0) as one, queue.lend(0):

        def wait() -> None:
            with queue.lend(30):
                pass

        waiting: Future[None] = pool.submit(wait)
        wait_until(lambda: queue.waiting == 1)
        queue.close()

        with pytest.raises(EOFError):
            waiting.result(30)
        assert one.interrupted.is_set()
        assert not one.closed  # A caller still uses it.

    assert all(connection.closed for connection in connections)
    with pytest.raises(EOFError), queue.lend(0):
        pass
