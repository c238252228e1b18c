"""A search as the API shows it, and its trials."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

LEADERBOARD = 20
"""The most trials of a leaderboard."""

TrialState = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A classifier with searched parameters, and its value by the metric of the search."""

    model_type: str
    params: Mapping[str, Any]
    value: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate of a search, from its begin to its end."""

    number: int
    """From 1, in the order in which they began."""
    model_type: str
    params: Mapping[str, Any]
    state: TrialState
    started_at: float
    """Seconds since 1970."""
    ended_at: float | None = None
    values: tuple[float, ...] = ()
    """The metric on each fold that was scored."""
    value: float | None = None
    """The mean over all folds; None of a trial that has not scored them all."""
    reason: str = ""
    """Why it failed, or was ended before its last fold; empty: it was not."""


@dataclass(frozen=True, slots=True)
class SearchState:
    """How far a search has come, and what it has found."""

    metric: str
    trials: int = 0
    """Those that have begun."""
    running: int = 0
    failed: int = 0
    pruned: int = 0
    """Those that were ended before their last fold."""
    best: Candidate | None = None
    leaderboard: tuple[Candidate, ...] = field(default=())
    """The best first; at most `LEADERBOARD`."""
    seconds_left: float | None = None
    """Until it ends, if its trials take that long; None where it has not begun."""

    def ended(self) -> Self:
        """Return the state after the end: what still ran has been ended before its last fold."""
        return replace(self, running=0, pruned=self.pruned + self.running, seconds_left=0.0)
