"""Trials in forked processes: scored as here, and lost alone."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from service.schema.search import Metric, Search
from service.worker.learning.folds import Folds
from service.worker.learning.plan import plan
from service.worker.search.forked_trials import ForkedTrials
from service.worker.search.run import SearchRun
from service.worker.search.trials import Event, FoldScored, Proposal, TrialFailed
from tests.support.fitting import mixed, request
from tests.support.waiting import wait_until

# pytest may have threads, none of which holds a lock that a trial needs.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")

ONE = {"C": {"low": 0.001, "high": 1000.0, "log": True}}
PLAN = plan(mixed(), request(search=Search(space=ONE, trials=12, parallel=2)))


class Misbehaving(Folds):
    """Folds that do what the value of C says."""

    def score(self, fold: int, model_type: str, params: Mapping[str, Any], metric: Metric) -> float:
        match params["C"]:
            case 1:
                os.kill(os.getpid(), signal.SIGKILL)
            case 2:
                raise MemoryError
            case 3:
                raise AssertionError("a defect")
            case 4:
                os._exit(7)
        return super().score(fold, model_type, params, metric)


@pytest.fixture
def runner() -> Iterator[Callable[[Folds, int], ForkedTrials]]:
    made: list[ForkedTrials] = []

    def make(folds: Folds, slots: int) -> ForkedTrials:
        made.append(ForkedTrials(folds, {}, "log_loss", slots))
        return made[-1]

    yield make
    for one in made:
        pids = one.pids
        one.close()
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def next_events(trials: ForkedTrials) -> list[Event]:
    found: list[Event] = []

    def heard() -> bool:
        found.extend(trials.events(1.0))
        return bool(found)

    wait_until(heard, seconds=30)
    return found


def proposal(number: int, c: float) -> Proposal:
    return Proposal(number, "LogisticRegression", {"C": c})


def test_folds_have_the_values_that_they_have_here(
    runner: Callable[[Folds, int], ForkedTrials],
) -> None:
    folds = Folds(PLAN, 3)
    trials = runner(folds, 1)
    trials.begin(proposal(1, 0.5))

    for fold in range(3):
        expected = folds.score(fold, "LogisticRegression", {"C": 0.5}, "log_loss")
        assert next_events(trials) == [FoldScored(1, expected)]
        if fold < 2:
            trials.go_on(1)
    trials.end(1)


@pytest.mark.parametrize(
    ("c", "reason"),
    [
        (1, "Its process ended early: SIGKILL."),
        (2, "It took more memory than one trial may."),
        (3, "It met an internal error."),
        (4, "Its process ended early: status 7."),
        (-1, "scikit-learn cannot fit"),
    ],
)
def test_a_trial_that_is_lost_costs_no_other(
    runner: Callable[[Folds, int], ForkedTrials], c: float, reason: str
) -> None:
    trials = runner(Misbehaving(PLAN, 3), 2)
    trials.begin(proposal(1, c))
    failed = next_events(trials)
    trials.begin(proposal(2, 0.5))
    scored = next_events(trials)

    assert len(failed) == len(scored) == 1
    assert isinstance(failed[0], TrialFailed)
    assert (failed[0].number, failed[0].reason[: len(reason)]) == (1, reason)
    assert isinstance(scored[0], FoldScored)
    assert scored[0].number == 2


def test_a_search_goes_on_after_a_process_was_killed(
    runner: Callable[[Folds, int], ForkedTrials],
) -> None:
    trials = runner(Folds(PLAN, PLAN.request.search_folds), 2)
    killed: list[int] = []

    def kill_one(state: Any, *_: object) -> None:
        if not killed and state.trials > 3 and trials.pids:
            killed.append(trials.pids[0])
            os.kill(killed[0], signal.SIGKILL)

    told: list[Any] = []

    def tell(state: Any, *rest: object) -> None:
        told.append(state)
        kill_one(state, *rest)

    run = SearchRun(PLAN, trials, 600, tell, clock=_steps())
    run.run()

    assert killed
    assert (told[-1].trials, told[-1].running, told[-1].failed) == (12, 0, 1)


def _steps() -> Callable[[], float]:
    """Return a clock by which each report is due."""
    now = [0.0]

    def clock() -> float:
        now[0] += 0.3
        return now[0]

    return clock
