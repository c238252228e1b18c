"""The search of a planned training: asks for candidates, has them tried, and keeps the best."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.common.errors import Problem, UnusableData, clip
from service.common.search import SearchState, Trial
from service.worker.learning.plan import Plan
from service.worker.learning.search_request import metric_of, spaces_of
from service.worker.search.candidates import (
    Candidates,
    ListedCandidates,
    combinations,
    every,
    of_lists,
)
from service.worker.search.scoreboard import LOWER_IS_BETTER, Scoreboard, mean
from service.worker.search.trials import WHOLE, FoldScored, Share, TrialRunner

_NEWS_SECONDS = 0.2
"""How often the service hears of a search."""
_QUIET_SECONDS = 30.0
"""How long other pods may begin nothing before they are taken to have nothing left to try."""

Tell = Callable[[SearchState, Sequence[Trial], float], None]
"""Called with the state, the trials that changed, and the share of the search that is done."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found."""

    model_type: str
    params: Mapping[str, Any]
    """All that the classifier is built with: those of the request and those of the best trial."""
    notes: tuple[str, ...]


def candidates_of(plan: Plan, share: Share = WHOLE) -> tuple[Candidates, int]:
    """Return what proposes the candidates of a plan's search, and how many there are at most.

    Of several pods each proposes its share.
    """
    request, search = plan.request, plan.request.search
    assert search is not None
    if search.is_list:
        name = request.type_names[0]
        return of_lists(search, name, request.seed, share), search.candidates
    spaces = spaces_of(request, plan.fold_rows, plan.width)
    count = combinations(spaces)
    if count <= search.candidates:
        return ListedCandidates(every(spaces), share), int(count)
    # Optuna is imported where it is needed alone: no other training waits for it or holds it.
    from service.worker.search.study import SampledCandidates

    seed = request.seed if search.seed is None else search.seed
    lower = metric_of(request) in LOWER_IS_BETTER
    parallel = search.parallel or 1
    sampled = SampledCandidates(spaces, seed, lower_is_better=lower, parallel=parallel, share=share)
    return sampled, search.candidates


class Shared:
    """What a pod shares a search with: here nobody, and nothing was tried before."""

    share = WHOLE
    searched_seconds = 0.0
    """How long the search has taken before this process."""

    def trials(self) -> Sequence[Trial]:
        """Return the trials that others made and that have changed, or some of the same again."""
        return ()


class SearchRun:
    """One search, from its first trial to its last."""

    def __init__(
        self,
        plan: Plan,
        runner: TrialRunner,
        most_seconds: float,
        tell: Tell,
        shared: Shared | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Search for at most that long, so that the best can still be trained."""
        self._shared = Shared() if shared is None else shared
        self._share = self._shared.share
        search = plan.request.search
        assert search is not None
        self._plan = plan
        self._search = search
        self._folds = plan.request.search_folds
        self._runner = runner
        self._tell = tell
        self._clock = clock
        self._start = clock() - self._shared.searched_seconds
        self._seconds = min(search.seconds or most_seconds, most_seconds)
        self._board = Scoreboard(metric_of(plan.request))
        self._candidates, self._most = candidates_of(plan, self._share)
        self._begun = 0
        """Trials of this pod."""
        self._next_news = 0.0
        self._exhausted = False
        self._heard_at = clock()

    def run(self) -> Found | None:
        """Make the search, and return what it found; None where another pod returns that.

        Raises UnusableData where no trial could be scored, or none ended in time.
        """
        board = self._board
        self._hear()
        try:
            while self._left > 0:
                self._fill()
                if not board.running and not self._waits_for_others:
                    break
                for event in self._runner.events(min(self._left, _NEWS_SECONDS)):
                    if isinstance(event, FoldScored):
                        self._score(event)
                    else:
                        self._candidates.tell(event.number, None)
                        board.fail(event.number, event.reason)
                self._hear()
                self._report()
        finally:
            self._runner.close()
        for number in list(board.running):
            self._candidates.tell(number, None)
            board.prune(number, "The time of the search was over.")
        self._report(last=True)
        return self._found() if self._share.index == 0 else None

    @property
    def _left(self) -> float:
        return self._seconds - (self._clock() - self._start)

    @property
    def _is_stale(self) -> bool:
        """Whether the search stops because its last trials brought nothing better."""
        most = self._search.stop_after
        return most is not None and self._board.since_better >= most

    @property
    def _waits_for_others(self) -> bool:
        """Whether this pod, which trains the best, waits for trials of others."""
        board = self._board
        if self._share.index or self._is_stale or board.ended >= self._most:
            return False
        is_quiet = self._clock() - self._heard_at > _QUIET_SECONDS
        return self._share.pods > 1 and (board.running_elsewhere > 0 or not is_quiet)

    def _hear(self) -> None:
        """Learn what others have tried."""
        for trial in self._shared.trials():
            known = self._board.others.get(trial.number)
            if trial == known:
                continue
            self._heard_at = self._clock()
            if known is None and self._share.holds(trial.number):
                self._begun += 1
            if self._board.hear(trial):
                self._candidates.learn(trial)

    def _fill(self) -> None:
        """Begin as many trials as may run."""
        board, most = self._board, self._share.most(self._most)
        while len(board.running) < self._runner.slots and self._begun < most:
            if self._is_stale or self._exhausted:
                return
            proposal = self._candidates.propose()
            if proposal is None:
                self._exhausted = True
                return
            self._begun += 1
            board.begin(proposal)
            self._runner.begin(proposal)

    def _score(self, event: FoldScored) -> None:
        number = event.number
        trial = self._board.score(number, event.value)
        count = len(trial.values)
        if count == self._folds:
            self._runner.end(number)
            self._candidates.tell(number, self._board.complete(number))
        elif self._candidates.is_hopeless(number, count - 1, mean(trial.values)):
            self._runner.end(number)
            self._candidates.tell(number, None, pruned=True)
            self._board.prune(number, "Most other trials were better over as many folds.")
        else:
            self._runner.go_on(number)

    def _report(self, *, last: bool = False) -> None:
        now = self._clock()
        if now < self._next_news and not last:
            return
        self._next_news = now + _NEWS_SECONDS
        left = 0.0 if last else self._left
        done = max(self._board.ended / self._most, 1 - left / self._seconds)
        self._tell(self._board.state(left), self._board.take_news(), min(1.0, done))

    def _found(self) -> Found:
        board, plan = self._board, self._plan
        best = board.best
        if best is None:
            if board.failed:
                message = f"none of its {board.begun:,} trials can be fitted: {board.reason}"
                raise UnusableData(f"The search found nothing: {message}", _at("", message))
            message = f"no trial ended within its {self._seconds:g} s"
            raise UnusableData(f"The search found nothing: {message}.", _at("/seconds", message))
        return Found(best.model_type, {**plan.request.params, **best.params}, tuple(self._notes()))

    def _notes(self) -> list[str]:
        board, search = self._board, self._search
        notes: list[str] = []
        if board.failed:
            notes.append(
                f"{board.failed:,} of {board.begun:,} trials of the search failed: "
                f"{clip(board.reason, 200)}"
            )
        if self._left <= 0 and (search.seconds is None or search.seconds > self._seconds):
            notes.append(
                f"The search ended after {self._seconds:g} s, so that the best could still be "
                "trained in the time that a training may take."
            )
        elif self._is_stale and board.begun < self._most:
            notes.append(
                f"The search ended after {board.begun:,} trials, as none of the last "
                f"{board.since_better:,} was better."
            )
        elif self._exhausted:
            notes.append(
                f"The search ended after {board.begun:,} trials: it met nothing new to try."
            )
        elif self._left > 0 and board.begun < self._most:
            notes.append(
                f"The search ended after {board.begun:,} trials, as other pods began no more."
            )
        return notes


def _at(key: str, message: str) -> list[Problem]:
    return [Problem(f"/search{key}", message)]
