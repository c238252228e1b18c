"""Work in parts on all cores: results in order, no waiting for busy cores, errors raised."""

import threading

import pytest

from service.serving.core_pool import CorePool


def test_parts_come_back_in_order_whoever_did_them() -> None:
    cores = CorePool(3)
    both = threading.Barrier(2)
    threads: set[str] = set()

    def square(number: int) -> int:
        threads.add(threading.current_thread().name)
        if number < 2:
            both.wait(10)  # two threads work at the same time
        return number * number

    assert cores.map(square, range(50)) == [number * number for number in range(50)]
    assert len(threads) >= 2
    assert cores.map(square, []) == []
    cores.close()


def test_a_caller_does_all_parts_itself_while_the_other_cores_are_taken() -> None:
    cores = CorePool(2)
    release, taken = threading.Event(), threading.Event()

    def hold(part: int) -> int:
        if threading.current_thread() is not holder:
            taken.set()
        assert release.wait(10)
        return part

    holder = threading.Thread(target=cores.map, args=(hold, [1, 2]))
    holder.start()
    assert taken.wait(10)

    assert cores.map(lambda part: (part, threading.current_thread()), [1, 2, 3]) == [
        (part, threading.current_thread()) for part in (1, 2, 3)
    ]
    release.set()
    holder.join()
    cores.close()


@pytest.mark.parametrize("failing", ["caller", "helper"])
def test_what_goes_wrong_in_a_part_is_raised_and_the_rest_is_left(failing: str) -> None:
    cores = CorePool(2)
    both = threading.Barrier(2)
    done: list[int] = []
    caller = threading.current_thread()

    def work(part: int) -> None:
        if part < 2:
            both.wait(10)
            if (threading.current_thread() is caller) == (failing == "caller"):
                raise ValueError("no")
            return
        done.append(part)

    with pytest.raises(ValueError, match="no"):
        cores.map(work, range(100_000))

    assert len(done) < 99_998
    cores.close()


def test_one_core_and_a_service_that_ends_have_no_helpers() -> None:
    alone, closed = CorePool(1), CorePool(4)
    closed.close()

    assert alone.map(str, [1, 2, 3]) == ["1", "2", "3"]
    assert closed.map(str, [1, 2, 3]) == ["1", "2", "3"]
    alone.close()
