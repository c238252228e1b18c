"""Where the trials of a search are run: the port, what it reports, and who makes which of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate that is to be tried."""

    number: int
    """From 1, in the order in which they are begun."""
    model_type: str
    params: Mapping[str, Any]
    """Those that were searched, without those that the request fixes."""


@dataclass(frozen=True, slots=True)
class Share:
    """The trials of one of several pods: numbers are dealt out in turn, so none is made twice."""

    index: int = 0
    """Of the pod, from 0."""
    pods: int = 1

    def number(self, count: int) -> int:
        """Return the number of the trial that this pod begins after `count` others of its own."""
        return 1 + self.index + count * self.pods

    def holds(self, number: int) -> bool:
        """Return whether a trial is one of this pod."""
        return (number - 1) % self.pods == self.index

    def most(self, trials: int) -> int:
        """Return how many of that many trials are those of this pod."""
        return len(range(self.index, trials, self.pods))


WHOLE = Share()


@dataclass(frozen=True, slots=True)
class FoldScored:
    """A trial has scored its next fold, and waits to be told whether to go on."""

    number: int
    value: float


@dataclass(frozen=True, slots=True)
class TrialFailed:
    """A trial has ended without a value."""

    number: int
    reason: str


Event = FoldScored | TrialFailed


class TrialRunner(Protocol):
    """Runs trials, fold by fold; a trial that is lost does not harm another one."""

    @property
    def slots(self) -> int:
        """The number of trials that run at the same time."""

    def begin(self, proposal: Proposal) -> None:
        """Begin a trial with its first fold; fewer than `slots` are running."""

    def go_on(self, number: int) -> None:
        """Have a trial that waits score its next fold."""

    def end(self, number: int) -> None:
        """Free the slot of a trial that waits: it is complete, or hopeless."""

    def events(self, seconds: float) -> Sequence[Event]:
        """Wait for at most that long, and return what has happened."""

    def close(self) -> None:
        """End everything that still runs."""
