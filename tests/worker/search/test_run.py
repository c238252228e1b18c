"""The search: what is proposed, pruned, ranked and told, and when it ends."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from service.common.errors import UnusableData
from service.common.search import Trial
from service.worker.learning.fitting import fit
from service.worker.search.run import Shared
from service.worker.search.trials import Proposal, Share
from tests.support.fitting import mixed, request, small
from tests.support.trials import Searched

ONE = {"C": {"low": 0.001, "high": 1000.0, "log": True}}


def by_c(proposal: Proposal, fold: int) -> float:
    """Score by how far C is from 1, a little worse on each fold."""
    return float(abs(proposal.params["C"] - 1) + fold / 1000)


def test_lists_find_what_scikit_learns_search_finds() -> None:
    lists = {"C": [1e-4, 1e-2, 1.0, 100.0]}
    searched = Searched(mixed(), {"params": lists}, cv=3)

    found = searched.found()

    planned = searched.plan
    fitted = fit(planned.of(found.model_type, found.params))
    frame = planned.table.to_frame(planned.features).iloc[planned.train]
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    grid = GridSearchCV(fitted.pipeline, {"classify__C": lists["C"]}, cv=folds)
    grid.fit(frame, planned.y[planned.train])
    assert found.params == {"C": grid.best_params_["classify__C"]}
    assert searched.last.best is not None
    assert searched.last.best.value == pytest.approx(grid.best_score_)


def test_lists_at_random_try_as_many_as_asked_and_keep_the_other_params() -> None:
    asked = {"params": {"C": [0.1, 1.0, 10.0], "tol": [1e-4, 1e-3]}, "n_iter": 2}

    searched = Searched(small(), asked, params={"max_iter": 500})

    assert set(searched.found().params) == {"C", "tol", "max_iter"}
    assert searched.last.trials == 2


def test_a_candidate_that_cannot_be_fitted_is_told_and_passed_over() -> None:
    lists = {"solver": ["lbfgs", "saga"], "l1_ratio": [0.5]}

    searched = Searched(small(), {"params": lists})
    found = searched.found()

    assert found.params["solver"] == "saga"
    assert found.notes[0].startswith("1 of 2 trials of the search failed: ")
    assert (searched.last.failed, searched.last.trials) == (1, 2)
    assert searched.news[1].state == "failed"
    assert "elasticnet" in searched.news[1].reason


def test_a_search_of_which_nothing_can_be_fitted_is_unusable_with_the_reason() -> None:
    with pytest.raises(UnusableData, match=r"none of its 1 trials can be fitted: .*elasticnet"):
        Searched(small(), {"params": {"l1_ratio": [0.5]}}).found()


def test_the_first_trial_of_a_classifier_has_its_defaults() -> None:
    searched = Searched(small(), {"space": ONE, "trials": 3}, score=by_c)

    searched.found()

    assert searched.trials.begun[0].params == {"C": 1.0}


def test_the_best_comes_first_and_what_is_hopeless_ends_at_an_early_fold() -> None:
    searched = Searched(small(), {"space": ONE, "trials": 40}, score=by_c)

    found = searched.found()

    assert found.params == {"C": 1.0}
    state = searched.last
    assert (state.trials, state.running, state.failed) == (40, 0, 0)
    assert state.pruned > 5
    assert [one.value for one in state.leaderboard] == sorted(o.value for o in state.leaderboard)
    assert len(state.leaderboard) == min(20, 40 - state.pruned)
    pruned = [trial for trial in searched.news.values() if trial.state == "pruned"]
    assert len(pruned) == state.pruned
    assert all(0 < len(trial.values) < 5 for trial in pruned)
    best = min(searched.news.values(), key=lambda one: one.value or 1e9)
    assert best.values == (0, 0.001, 0.002, 0.003, 0.004)


def test_the_same_seed_proposes_the_same_and_another_one_does_not() -> None:
    def proposed(seed: int) -> list[Proposal]:
        searched = Searched(small(), {"space": ONE, "trials": 25, "seed": seed}, score=by_c)
        searched.found()
        return searched.trials.begun

    assert proposed(3) == proposed(3)
    assert proposed(3) != proposed(4)


def test_a_space_with_fewer_candidates_than_trials_is_tried_once_and_wholly() -> None:
    space = {"solver": ["lbfgs", "liblinear"], "max_iter": {"low": 100, "high": 102}}

    searched = Searched(small(), {"space": space, "trials": 100})
    searched.found()

    assert searched.last.trials == 6
    seen = {tuple(one.params.values()) for one in searched.trials.begun}
    assert seen == set(itertools.product(["lbfgs", "liblinear"], [100, 101, 102]))


def test_no_candidate_is_tried_twice() -> None:
    space = {"max_depth": {"low": 1, "high": 40}}

    searched = Searched(
        small(),
        {"space": space, "trials": 35},
        model_type="DecisionTreeClassifier",
        score=lambda one, _: float(one.params["max_depth"]),
    )
    searched.found()

    depths = [one.params["max_depth"] for one in searched.trials.begun]
    assert len(depths) == len(set(depths))


def test_it_ends_when_nothing_has_become_better_for_a_while() -> None:
    asked = {"space": ONE, "trials": 200, "stop_after": 7}

    searched = Searched(small(), asked, score=by_c)
    found = searched.found()

    assert searched.last.trials == 1 + 7  # The defaults are the best.
    assert "none of the last 7 was better" in found.notes[0]


def test_it_ends_in_time_and_ends_the_trials_that_run() -> None:
    now = itertools.count()
    asked = {"space": ONE, "trials": 200, "seconds": 60, "parallel": 3}

    searched = Searched(small(), asked, score=by_c, clock=lambda: float(next(now)))
    searched.found()

    state = searched.last
    assert 0 < state.trials < 200
    assert (state.running, state.seconds_left) == (0, 0.0)
    assert state.trials == len(searched.news)
    assert all(trial.state != "running" for trial in searched.news.values())
    assert searched.trials.closed
    late = [one for one in searched.news.values() if "time of the search" in one.reason]
    assert 0 < len(late) <= 3


def test_it_leaves_time_to_train_the_best_and_says_so() -> None:
    now = itertools.count()

    searched = Searched(
        small(), {"space": ONE}, score=by_c, most_seconds=40.0, clock=lambda: float(next(now))
    )

    assert "ended after 40 s" in searched.found().notes[0]


def test_no_trial_in_time_is_unusable_with_that_sentence() -> None:
    now = itertools.count()

    with pytest.raises(UnusableData, match=r"no trial ended within its 2 s\."):
        Searched(
            small(), {"space": ONE, "seconds": 2}, score=by_c, clock=lambda: float(next(now))
        ).found()


def test_no_trial_sees_a_row_that_is_held_out() -> None:
    searched = Searched(mixed(), {"space": ONE, "trials": 3})
    searched.found()
    changed = mixed()
    for name in ("x", "gaps"):
        changed.columns[name].values[searched.plan.test] += 1000

    again = Searched(changed, {"space": ONE, "trials": 3})
    again.found()

    assert again.plan.test.tolist() == searched.plan.test.tolist()
    assert again.last == searched.last


@pytest.mark.parametrize("metric", ["log_loss", "balanced_accuracy", "accuracy", "f1", "roc_auc"])
def test_each_metric_is_that_of_scikit_learn_and_ranked_in_its_direction(metric: str) -> None:
    scoring = {"log_loss": "neg_log_loss", "f1": "f1_macro"}.get(metric, metric)
    values = [1e-4, 1.0, 100.0]
    space = {"C": values}

    searched = Searched(mixed(), {"space": space, "trials": 9, "metric": metric, "folds": 4})
    found = searched.found()

    planned = searched.plan
    pipeline = fit(planned.of("LogisticRegression", {})).pipeline
    frame = planned.table.to_frame(planned.features).iloc[planned.train]
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    grid = GridSearchCV(pipeline, {"classify__C": values}, cv=folds, scoring=scoring)
    grid.fit(frame, planned.y[planned.train])
    assert found.params == {"C": grid.best_params_["classify__C"]}
    assert searched.last.best is not None
    assert searched.last.best.value == pytest.approx(abs(grid.best_score_))


def test_the_share_that_is_done_goes_forward() -> None:
    searched = Searched(small(), {"space": ONE, "trials": 10}, score=by_c)

    searched.found()

    assert searched.shares == sorted(searched.shares)
    assert searched.shares[-1] == 1.0


def test_several_classifiers_are_each_begun_with_their_defaults() -> None:
    names = ["GaussianNB", "LogisticRegression", "RidgeClassifier"]

    searched = Searched(small(), {"model_types": names, "trials": 12})
    found = searched.found()

    assert [one.model_type for one in searched.trials.begun[:3]] == names
    assert searched.last.metric == "balanced_accuracy"
    assert found.model_type in names
    params: dict[str, Any] = dict(found.params)
    assert request(model_type=found.model_type, params=params).model_type == found.model_type


def test_it_ends_without_the_trials_of_a_pod_that_does_not_come_back_and_says_so() -> None:
    class Lonely(Shared):
        share = Share(0, 2)

        def trials(self) -> Sequence[Trial]:
            lost = Trial(2, "LogisticRegression", {"C": 2.0}, "failed", 0.0, reason="It died.")
            return [lost]

    clock = itertools.count()
    searched = Searched(
        small(),
        {"space": ONE, "trials": 10},
        score=by_c,
        shared=Lonely(),
        clock=lambda: float(next(clock)),
    )

    found = searched.found()

    assert (searched.last.trials, searched.last.failed) == (6, 1)
    assert found.notes[-1] == "The search ended after 6 trials, as other pods began no more."
