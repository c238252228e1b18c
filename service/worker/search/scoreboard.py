"""What a search has found so far: its trials, counted and ranked."""

import time
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from service.common.search import LEADERBOARD, Candidate, SearchState, Trial, TrialState
from service.schema.search import Metric
from service.worker.search.trials import Proposal

LOWER_IS_BETTER = frozenset({"log_loss"})


@dataclass(slots=True)
class Scoreboard:
    """Keeps trials, and which of them are news."""

    metric: Metric
    running: dict[int, Trial] = field(default_factory=dict)
    since_better: int = 0
    """Trials that have ended since the best was found."""
    begun: int = 0
    failed: int = 0
    pruned: int = 0
    reason: str = ""
    """Why the last trial failed that did."""
    others: dict[int, Trial] = field(default_factory=dict)
    """Trials of other pods, and of others before this process, as they were heard of last."""
    _ranked: list[tuple[float, int, Candidate]] = field(default_factory=list)
    _news: dict[int, Trial] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """The number of trials that have ended."""
        return self.begun - len(self.running) - self.running_elsewhere

    @property
    def running_elsewhere(self) -> int:
        """The number of trials that run in other pods."""
        return sum(one.state == "running" for one in self.others.values())

    @property
    def best(self) -> Candidate | None:
        """The candidate with the best value, the first of equal ones; None before any has one."""
        return self._ranked[0][2] if self._ranked else None

    def begin(self, proposal: Proposal) -> None:
        """Count a trial that begins."""
        self.begun += 1
        self._note(
            Trial(
                number=proposal.number,
                model_type=proposal.model_type,
                params=proposal.params,
                state="running",
                started_at=time.time(),
            )
        )

    def score(self, number: int, value: float) -> Trial:
        """Add the value of a trial's next fold; return the trial."""
        trial = self.running[number]
        trial = replace(trial, values=(*trial.values, value))
        self._note(trial)
        return trial

    def complete(self, number: int) -> float:
        """End a trial with the mean of its folds, and return that."""
        value = mean(self.running[number].values)
        self._rank(self._end(number, "complete", value=value), value)
        return value

    def _rank(self, trial: Trial, value: float) -> None:
        candidate = Candidate(trial.model_type, trial.params, value)
        better = value if self.metric in LOWER_IS_BETTER else -value
        insort(self._ranked, (better, trial.number, candidate), key=lambda one: one[:2])
        self.since_better = 0 if self._ranked[0][1] == trial.number else self.since_better + 1

    def hear(self, trial: Trial) -> bool:
        """Count a trial that was made elsewhere; return whether it is news that it has ended."""
        known = self.others.get(trial.number)
        self.others[trial.number] = trial
        if known is None:
            self.begun += 1
        if trial.state == "running" or (known is not None and known.state != "running"):
            return False
        if trial.value is not None:
            self._rank(trial, trial.value)
            return True
        self.since_better += 1
        self.pruned += trial.state == "pruned"
        if trial.state == "failed":
            self.failed += 1
            self.reason = trial.reason
        return True

    def prune(self, number: int, reason: str) -> None:
        """End a trial before its last fold."""
        self.pruned += 1
        self.since_better += 1
        self._end(number, "pruned", reason=reason)

    def fail(self, number: int, reason: str) -> None:
        """End a trial that cannot be scored."""
        self.failed += 1
        self.since_better += 1
        self.reason = reason
        self._end(number, "failed", reason=reason)

    def _end(
        self, number: int, state: TrialState, value: float | None = None, reason: str = ""
    ) -> Trial:
        ended = replace(
            self.running.pop(number), state=state, ended_at=time.time(), value=value, reason=reason
        )
        self._news[number] = ended
        return ended

    def _note(self, trial: Trial) -> None:
        self.running[trial.number] = self._news[trial.number] = trial

    def take_news(self) -> Sequence[Trial]:
        """Return the trials that have changed since the last call, as they are now."""
        news, self._news = list(self._news.values()), {}
        return news

    def state(self, seconds_left: float | None) -> SearchState:
        """Return what the API shows."""
        return SearchState(
            metric=self.metric,
            trials=self.begun,
            running=len(self.running) + self.running_elsewhere,
            failed=self.failed,
            pruned=self.pruned,
            best=self.best,
            leaderboard=tuple(candidate for _, _, candidate in self._ranked[:LEADERBOARD]),
            seconds_left=None if seconds_left is None else round(max(0.0, seconds_left), 1),
        )


def mean(values: Sequence[float]) -> float:
    """Return the mean of the folds' values."""
    return sum(values) / len(values)
