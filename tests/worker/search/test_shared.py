"""A search that several pods share: each makes its own trials, and learns of the others'."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from service.common.errors import UnusableData
from service.common.search import Trial
from service.worker.search.run import Shared
from service.worker.search.trials import Proposal, Share
from tests.support.fitting import small
from tests.support.trials import Searched

SPACE = {"C": {"low": 0.001, "high": 1000.0, "log": True}}
SEARCH = {"space": SPACE, "trials": 9, "parallel": 3}


def by_c(proposal: Proposal, fold: int) -> float:
    """Score by how far C is from 1, a little worse on each fold."""
    return float(abs(proposal.params["C"] - 1) + fold / 1000)


class FromOthers(Shared):
    """Trials that other pods made, as a test adds them."""

    def __init__(self, index: int = 0, pods: int = 3, *trials: Trial, seconds: float = 0.0) -> None:
        self.share = Share(index, pods)
        self.searched_seconds = seconds
        self.heard = list(trials)

    def trials(self) -> Sequence[Trial]:
        return self.heard


def of_other(number: int, value: float | None = 5.0, **changes: Any) -> Trial:
    trial = Trial(number, "LogisticRegression", {"C": 1.5 + number}, "complete", 100.0, 101.0)
    values = () if value is None else (value,) * 5
    return replace(trial, value=value, values=values, **changes)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_numbers_are_dealt_out_in_turn_and_each_belongs_to_one_pod(index: int) -> None:
    share = Share(index, 3)

    own = [share.number(count) for count in range(share.most(10))]

    assert own == list(range(index + 1, 11, 3))
    assert [number for number in range(1, 11) if share.holds(number)] == own


@pytest.mark.parametrize(("index", "own"), [(1, [2, 5, 8]), (2, [3, 6, 9])])
def test_a_pod_that_is_not_the_first_makes_its_trials_and_trains_nothing(
    index: int, own: list[int]
) -> None:
    searched = Searched(small(), SEARCH, score=by_c, shared=FromOthers(index))

    assert searched.run.run() is None

    assert [trial.number for trial in searched.trials.begun] == own
    assert sorted(searched.news) == own


def test_pods_of_equal_seed_try_different_candidates_and_the_first_one_the_defaults() -> None:
    tried: list[float] = []
    for index in (0, 1, 2):
        others = [of_other(number) for number in range(1, 10) if (number - 1) % 3 != index]
        shared = FromOthers(index, 3, *others)
        searched = Searched(small(), SEARCH, score=by_c, shared=shared)
        searched.run.run()
        tried += [trial.params["C"] for trial in searched.trials.begun]

    assert len(set(tried)) == len(tried) == 9
    assert tried[0] == 1.0


def test_the_first_pod_trains_the_best_of_all() -> None:
    best = of_other(2, value=0.0)
    others = [best, of_other(3), of_other(5), of_other(6), of_other(8), of_other(9, None)]
    others[-1] = replace(others[-1], state="failed", reason="Its pod was ended.")

    searched = Searched(small(), SEARCH, score=by_c, shared=FromOthers(0, 3, *others))
    found = searched.found()

    assert found.params == best.params
    assert (searched.last.trials, searched.last.failed, searched.last.running) == (9, 1, 0)
    assert searched.last.best is not None
    assert searched.last.best.value == 0.0
    assert len(searched.last.leaderboard) == 8 - searched.last.pruned


def test_a_trial_counts_once_however_often_it_is_heard_of() -> None:
    others = FromOthers(0, 3)

    def score(proposal: Proposal, fold: int) -> float:
        running = replace(of_other(2), state="running", value=None)
        others.heard = [running if proposal.number == 1 else of_other(2), of_other(3)]
        others.heard += [of_other(number) for number in (5, 6, 8, 9)]
        return by_c(proposal, fold)

    searched = Searched(small(), SEARCH, score=score, shared=others)
    searched.found()

    assert searched.last.trials == 9
    assert len(searched.last.leaderboard) == 9 - searched.last.pruned


def test_the_first_pod_waits_for_trials_that_run_elsewhere() -> None:
    others = FromOthers(0, 3, *(of_other(number) for number in (3, 5, 6, 8, 9)))
    others.heard.append(replace(of_other(2), state="running", value=None))
    calls = 0
    searched = Searched(small(), SEARCH, score=by_c, shared=others)
    events = searched.trials.events

    def wait(seconds: float) -> Any:
        nonlocal calls
        happened = events(seconds)
        if not happened:
            calls += 1
            if calls == 5:
                others.heard[-1] = of_other(2, value=0.0)
        return happened

    searched.trials.events = wait  # type: ignore[method-assign]

    assert searched.found().params == of_other(2).params
    assert calls >= 5


def test_pods_that_begin_nothing_more_are_not_waited_for() -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.2
        return now

    searched = Searched(small(), SEARCH, score=by_c, shared=FromOthers(0, 3), clock=clock)

    assert searched.found().model_type == "LogisticRegression"

    assert searched.last.trials == 3
    assert now < 100


def test_a_pod_that_replaces_another_goes_on_where_that_one_was() -> None:
    lost = replace(of_other(4, None), state="failed", reason="Its pod was ended.")
    others = [of_other(number) for number in (1, 2, 3, 5, 6, 8, 9)]

    searched = Searched(small(), SEARCH, score=by_c, shared=FromOthers(0, 3, *others, lost))
    searched.found()

    assert [trial.number for trial in searched.trials.begun] == [7]
    assert (searched.last.trials, searched.last.failed) == (9, 1)


def test_the_time_that_a_search_has_taken_before_counts() -> None:
    shared = FromOthers(0, 1, seconds=50.0)

    searched = Searched(small(), SEARCH, score=by_c, most_seconds=49.0, shared=shared)

    with pytest.raises(UnusableData, match="no trial ended within its 49 s"):
        searched.found()


def test_lists_are_dealt_out_as_well() -> None:
    lists = {"params": {"C": [0.1, 0.2, 0.3, 0.4, 0.5]}}
    searched = Searched(small(), lists, score=by_c, shared=FromOthers(1, 2))

    searched.run.run()

    assert [(one.number, one.params["C"]) for one in searched.trials.begun] == [(2, 0.2), (4, 0.4)]


def test_what_is_no_candidate_of_this_search_is_not_learnt_from() -> None:
    strange = [
        replace(of_other(2), model_type="SVC"),
        replace(of_other(3), params={"C": 2.0, "more": 1}),
        replace(of_other(5), params={}),
        *(of_other(number) for number in (6, 8, 9)),
    ]

    searched = Searched(small(), SEARCH, score=by_c, shared=FromOthers(0, 3, *strange))
    searched.found()

    assert searched.last.trials == 9


def test_a_trial_is_pruned_by_what_others_have_scored() -> None:
    others = [of_other(number, value=0.0) for number in (2, 3, 5, 6, 8, 9)]

    searched = Searched(small(), SEARCH, score=lambda *_: 9.0, shared=FromOthers(0, 3, *others))
    searched.found()

    assert searched.last.pruned == 3
    assert [trial.values for trial in searched.news.values()] == [(9.0,)] * 3
