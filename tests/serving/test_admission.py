"""Admission of slow predictions: by the queued work, whatever the kind of request."""

from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.common.errors import Overloaded
from service.serving.admission import Admission


def gauge() -> Gauge:
    return Gauge("in_flight", "For a test.", registry=CollectorRegistry())


def admitted(admission: Admission, seconds: float, target: float, parallel: int = 1) -> int:
    """Return how many requests of this many seconds are admitted before one is refused."""
    with ExitStack() as requests:
        for count in range(1000):
            try:
                requests.enter_context(admission.admit(target, parallel))
            except Overloaded:
                return count
            admission.enqueue(seconds)
    raise AssertionError("all were admitted")


@pytest.mark.parametrize(
    ("seconds", "parallel", "most", "count"),
    [(0.008, 1, 64, 7), (0.008, 2, 64, 13), (0.008, 2, 8, 8), (1.0, 1, 64, 4), (1.0, 1, 2, 2)],
)
def test_requests_are_admitted_while_the_work_before_them_fits_into_their_time(
    seconds: float, parallel: int, most: int, count: int
) -> None:
    assert admitted(Admission(most, gauge()), seconds, 0.05, parallel) == count


def test_one_large_request_counts_as_the_many_rows_that_it_has() -> None:
    admission = Admission(64, gauge())
    admission.enqueue(0.04)

    assert admitted(admission, 0.001, 0.05) == 10


def test_work_that_has_begun_makes_room() -> None:
    admission = Admission(64, gauge())
    admission.enqueue(1.0)
    assert admitted(admission, 0.01, 0.05) == 4
    admission.dequeue(1.04)

    assert admitted(admission, 0.01, 0.05) == 5


def test_long_runs_that_were_expected_do_not_get_short_ones_refused() -> None:
    admission = Admission(64, gauge())
    for _ in range(100):
        admission.learn(2.0, 2.0)

    assert admitted(admission, 0.01, 0.05) == 5


def test_runs_that_take_longer_than_expected_let_in_fewer_and_one_slip_hardly_counts() -> None:
    admission = Admission(64, gauge())
    admission.learn(0.001, 10.0)
    assert admitted(admission, 0.005, 0.05) in (8, 9)

    admission = Admission(64, gauge())
    for _ in range(100):
        admission.learn(0.001, 0.002)
    assert admitted(admission, 0.005, 0.05) in (5, 6)


def test_the_gauge_shows_the_requests_that_are_not_answered() -> None:
    shown = gauge()
    admission = Admission(64, shown)
    with admission.admit(1.0, 1), admission.admit(1.0, 1):
        assert [sample.value for family in shown.collect() for sample in family.samples] == [2]
    assert [sample.value for family in shown.collect() for sample in family.samples] == [0]
