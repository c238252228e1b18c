"""A runner of trials without processes, and searches by it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.common.errors import UnusableData
from service.common.search import SearchState, Trial
from service.schema.search import Metric, Search
from service.worker.data.table import Table
from service.worker.learning.folds import Folds
from service.worker.learning.plan import Plan, plan
from service.worker.learning.search_request import metric_of
from service.worker.search.run import Found, SearchRun, Shared
from service.worker.search.trials import Event, FoldScored, Proposal, TrialFailed
from tests.support.fitting import request

Score = Callable[[Proposal, int], float]


def by_folds(planned: Plan) -> Score:
    """Score a trial as a process of its own would."""
    folds = Folds(planned, planned.request.search_folds)
    metric: Metric = metric_of(planned.request)

    def score(proposal: Proposal, fold: int) -> float:
        params = {**planned.request.params, **proposal.params}
        return folds.score(fold, proposal.model_type, params, metric)

    return score


class FakeTrials:
    """Scores each fold when its events are asked for, in this process."""

    def __init__(self, score: Score, slots: int = 1) -> None:
        self.slots = slots
        self.begun: list[Proposal] = []
        self.scored: dict[int, int] = {}
        self.closed = False
        self._score = score
        self._asked: dict[int, int] = {}

    def begin(self, proposal: Proposal) -> None:
        self.begun.append(proposal)
        self._asked[proposal.number] = 0

    def go_on(self, number: int) -> None:
        self._asked[number] = self.scored[number]

    def end(self, number: int) -> None:
        """Do nothing: the trial is not asked for more."""

    def events(self, seconds: float) -> Sequence[Event]:  # noqa: ARG002
        asked, self._asked = self._asked, {}
        events: list[Event] = []
        for number, fold in asked.items():
            try:
                value = self._score(self._proposal(number), fold)
            except UnusableData as error:
                events.append(TrialFailed(number, str(error)))
            else:
                self.scored[number] = fold + 1
                events.append(FoldScored(number, value))
        return events

    def close(self) -> None:
        self.closed = True

    def _proposal(self, number: int) -> Proposal:
        return next(one for one in self.begun if one.number == number)


class Searched:
    """What a search found, and all that it told."""

    def __init__(
        self,
        table: Table,
        search: Mapping[str, Any],
        *,
        score: Score | None = None,
        most_seconds: float = 1000.0,
        clock: Callable[[], float] = lambda: 0.0,
        shared: Shared | None = None,
        **keys: Any,
    ) -> None:
        keys = {"search": Search(**search), **keys}
        if "model_types" in search:
            keys["model_type"] = None
        self.plan = plan(table, request(**keys))
        parallel = self.plan.request.search.parallel or 1  # type: ignore[union-attr]
        slots = parallel if shared is None else 1
        self.trials = FakeTrials(score or by_folds(self.plan), slots)
        self.states: list[SearchState] = []
        self.news: dict[int, Trial] = {}
        self.shares: list[float] = []
        self.run = SearchRun(self.plan, self.trials, most_seconds, self._tell, shared, clock)

    def found(self) -> Found:
        """Make the search."""
        found = self.run.run()
        assert found is not None
        return found

    @property
    def last(self) -> SearchState:
        """The state that was told last."""
        return self.states[-1]

    def _tell(self, state: SearchState, trials: Sequence[Trial], share: float) -> None:
        self.states.append(state)
        self.news |= {trial.number: trial for trial in trials}
        self.shares.append(share)
