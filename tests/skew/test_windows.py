"""Counts over time: in memory that does not grow, and forgotten after fourteen days."""

import numpy as np
import pytest

from service.skew.windows import DAY, HOUR, LONGEST, MINUTE, Window, Windows
from tests.support.references import FakeClock


def counting(windows: Windows, rows: int) -> None:
    windows.add(rows, np.array([rows, 0, 2 * rows]))


@pytest.mark.parametrize(
    ("window", "slack"),
    [(5 * MINUTE, MINUTE), (HOUR, MINUTE), (6 * HOUR, 15 * MINUTE), (DAY, 15 * MINUTE),
     (7 * DAY, 2 * HOUR), (LONGEST, 2 * HOUR)],
)  # fmt: skip
def test_a_window_has_its_rows_and_at_most_one_span_more(window: int, slack: int) -> None:
    clock = FakeClock()
    windows = Windows(3, clock)
    counting(windows, 7)
    start = clock.now

    clock.now = start + window
    assert windows.window(window).rows == 7
    clock.now = start + window + slack + 1
    assert windows.window(window) == Window()


def test_rows_are_added_up_with_the_time_from_which_they_count() -> None:
    clock = FakeClock(now=600_000.0 * MINUTE + 30)
    windows = Windows(3, clock)
    counting(windows, 1)
    clock.now += 2 * MINUTE
    counting(windows, 4)

    assert windows.window(HOUR) == Window(5, 600_000.0 * MINUTE, [5, 0, 10])


def test_a_month_of_rows_takes_as_much_memory_as_fourteen_days() -> None:
    clock = FakeClock()
    windows = Windows(3, clock)

    for _ in range(31 * 24 * 4):
        clock.now += 15 * MINUTE
        counting(windows, 1)

    assert [len(ring.buckets) <= ring.most for ring in windows.rings] == [True] * 3
    assert sum(len(ring.buckets) for ring in windows.rings) <= 327
    assert windows.window(LONGEST).rows == pytest.approx(14 * 24 * 4, abs=8)


def test_a_clock_that_is_set_back_loses_nothing_of_the_present() -> None:
    clock = FakeClock()
    windows = Windows(3, clock)
    counting(windows, 1)
    clock.now -= 2 * DAY
    counting(windows, 2)

    assert windows.window(HOUR).rows == 2


def test_windows_of_two_processes_are_added_up() -> None:
    clock = FakeClock()
    before, after = Windows(3, clock), Windows(3, clock)
    counting(before, 3)
    clock.now += 10 * MINUTE
    counting(after, 2)

    after.merge(before)

    assert after.window(HOUR).rows == 5
    assert after.window(5 * MINUTE).rows == 2


def test_counts_of_replicas_are_added_up_from_the_earliest() -> None:
    total = Window()
    for part in (Window(), Window(2, 50.0, [1, 1]), Window(3, 20.0, [3, 0]), Window()):
        total.add(part)

    assert total == Window(5, 20.0, [4, 1])
