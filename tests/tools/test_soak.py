"""The verdict of the soak test: what counts as growth."""

from collections.abc import Callable

import pytest

from tests.support.memory import Held, children, descendants, held
from tools.bench.soak import Sample, slope, verdict

WARM = Held(rss=200, files=50, threads=20)


def samples(rss: Callable[[int], float], count: int = 1000) -> list[Sample]:
    return [Sample(at, Held(rss=rss(at)), Held()) for at in range(0, count, 10)]


def flat(_: int) -> float:
    return 200.0


def test_memory_that_rises_all_along_has_grown() -> None:
    grew, sentences = verdict(samples(lambda at: 200 + at * 0.05), [], WARM, WARM)

    assert grew
    assert sentences[0] == "GREW: RSS: +50.0 MB in 1,000 changes"


def test_memory_that_rises_at_first_or_goes_up_and_down_has_not() -> None:
    assert not verdict(samples(lambda at: 200 + min(at, 400)), [], WARM, WARM)[0]
    assert not verdict(samples(lambda at: 200 + at % 7 * 3.0), [], WARM, WARM)[0]


def test_memory_that_rises_under_load_alone_has_grown() -> None:
    grew, sentences = verdict(samples(flat), samples(lambda at: 200 + at * 0.02), WARM, WARM)

    assert grew
    assert sentences[1] == "GREW: RSS: +12.0 MB in 10 minutes of load"


@pytest.mark.parametrize("end", [Held(files=60, threads=20), Held(files=50, threads=40)])
def test_files_or_threads_that_stay_have_grown(end: Held) -> None:
    assert verdict(samples(flat), samples(flat), WARM, end)[0]
    assert not verdict(samples(flat), samples(flat), WARM, WARM)[0]


def test_too_few_samples_show_no_slope() -> None:
    assert slope([]) == 0.0
    assert slope(samples(lambda at: at, 30)) == 0.0


def test_the_resources_counted_are_those_of_running_processes() -> None:
    assert held(2**22 + 1) == Held()
    assert list(descendants(2**22 + 1)) == children(2**22 + 1) == []
