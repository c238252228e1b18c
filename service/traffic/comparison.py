"""Two versions while they are compared: one answers again what the other answered, and is counted.

No row is kept longer than until the next step.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from service.common.traffic import Compared, Traffic, disagreement
from service.models.classifier import Labels
from service.serving.current_model import CurrentModel
from service.serving.predictor import Predictor
from service.traffic.answered_rows import AnsweredRows, Waiting
from service.traffic.counterpart import FAILED, LOOKED_AT, NOT_ASKED, UNAVAILABLE, Counterpart
from service.traffic.translation import class_indexes

SHARE = 0.1
"""Of a core, which comparing may take."""
STEP_SECONDS = 1.0
_TIMING_SHARE = 0.2
"""Of that, for timing both versions, so that slow ones are compared, too."""
_TIMED = 5
"""Times that both are timed in a step, if there is time. An odd number: the first run of a step
takes longer, and so is that of each in turn."""

MOST_PAIRS = 1000
"""Pairs of classes that are counted; others are counted together."""
OTHER_PAIRS = "other"

Pause = Callable[[float], object]
"""Waits for some seconds; what it returns is true where there is no time left at all."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which two versions are to be compared, in which epoch of the log of use."""

    epoch: int
    traffic: Traffic
    in_use: Predictor
    second: Predictor
    """Both are of the same contract."""


def comparison_of(current_model: CurrentModel) -> Comparison | None:
    """Return which two versions are to be compared now; None where there is no second one.

    Nor is there a comparison where nothing is counted.
    """
    in_use = current_model.in_use
    if in_use is None or in_use.traffic is None or in_use.second is None:
        return None
    if in_use.predictor.tally is None:
        return None
    return Comparison(in_use.epoch, in_use.traffic, in_use.predictor, in_use.second.predictor)


class Allowance:
    """The processor time for each step; what a long run takes beyond it is missing in the next."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._left = 0.0

    @property
    def is_left(self) -> bool:
        """Whether there is time for another run."""
        return self._left > 0

    def renew(self) -> None:
        """Begin a step. What the last one left is not added."""
        self._left = min(self._seconds, self._left + self._seconds)

    def spend(self, seconds: float) -> None:
        """Note what a run took."""
        self._left -= seconds


class Allowances:
    """The processor time of one process for comparing, and how much of it for timing."""

    def __init__(self) -> None:
        self.whole = Allowance(SHARE * STEP_SECONDS)
        self.timing = Allowance(_TIMING_SHARE * SHARE * STEP_SECONDS)

    def renew(self) -> None:
        """Begin a step."""
        self.whole.renew()
        self.timing.renew()


@dataclass(frozen=True, slots=True)
class _Direction:
    """From the rows that one version answered to the other one."""

    rows: AnsweredRows
    counterpart: Counterpart
    classes: Labels
    """The index in the version in use of each class of the version that answered first."""
    from_in_use: bool


class Running:
    """A comparison that has begun; it ends with `end`."""

    def __init__(self, comparison: Comparison) -> None:
        self.epoch = comparison.epoch
        is_split = comparison.traffic.mode == "split"
        in_use, second = comparison.in_use, comparison.second
        self._in_use = AnsweredRows(100 if is_split else comparison.traffic.percent)
        self._second = AnsweredRows(100 if is_split else 0)
        same = np.arange(len(in_use.schema.classes))
        self._directions = [_Direction(self._in_use, Counterpart(in_use, second), same, True)]
        if is_split:
            others = class_indexes(second.schema, in_use.schema)
            back = Counterpart(second, in_use)
            self._directions.append(_Direction(self._second, back, others, False))
        self._lock = threading.Lock()
        self._counts = Compared()
        self._pairs: Counter[str] = Counter()
        self._ended = False
        self._begins = False
        self._watched = [
            (tally, rows)
            for tally, rows in ((in_use.tally, self._in_use), (second.tally, self._second))
            if tally is not None
        ]
        for tally, rows in self._watched:
            tally.watch(rows)

    def end(self) -> None:
        """Watch nothing any more."""
        self._ended = True
        for tally, _ in self._watched:
            tally.watch(None)

    def compared(self) -> Compared:
        """Return what was counted so far."""
        with self._lock:
            return replace(
                self._counts,
                in_use_rows=self._in_use.rows,
                second_rows=self._second.rows,
                errors=self._counts.errors + self._second.failed,
                shed=self._counts.shed + self._in_use.shed + self._second.shed,
                disagreed=dict(self._pairs),
            )

    def add(self, counts: Compared) -> None:
        """Add to what was counted."""
        with self._lock:
            self._counts = self._counts.plus(counts)

    def step(self, allowances: Allowances, pause: Pause) -> None:
        """Ask what was answered since the last step, and shed what there is no time for."""
        waiting = [(one, one.rows.collect()) for one in self._directions]
        self._time(waiting, allowances)
        goes_on = True
        while goes_on and any(left.rows for _, left in waiting):
            for one, left in waiting:
                goes_on = goes_on and not self._ended and allowances.whole.is_left
                if goes_on and left.rows:
                    spent = self._ask(one, left)
                    allowances.whole.spend(spent)
                    # Evenly, rather than the tenth of a second in one piece: clients need the core.
                    goes_on = not pause(min(STEP_SECONDS, spent * (1 / SHARE - 1)))
        for one, left in waiting:
            one.rows.give_up(left.rows)

    def _ask(self, direction: _Direction, waiting: Waiting) -> float:
        """Compare as many rows as one run takes; return the seconds spent."""
        counterpart = direction.counterpart
        start = counterpart.clock()
        X, labels = waiting.take(counterpart.rows_of_run())
        self._count(direction, labels, counterpart.answer(X))
        return counterpart.clock() - start

    def _count(self, direction: _Direction, first: Labels, other: Labels) -> None:
        """Count rows by their classes, [N] each, by the version that answered and by the other."""
        failed = int(np.count_nonzero((other == FAILED) | (other == UNAVAILABLE)))
        answered = other >= 0
        counts = Compared(
            rows=int(np.count_nonzero(answered)),
            agreed=int(np.count_nonzero(first == other)),
            errors=failed if direction.from_in_use else 0,
            in_use_errors=0 if direction.from_in_use else failed,
            shed=int(np.count_nonzero(other == NOT_ASKED)),
        )
        differ = answered & (first != other)
        one, two = direction.classes[first[differ]], direction.classes[other[differ]]
        in_use, second = (one, two) if direction.from_in_use else (two, one)
        pairs = Counter(zip(in_use.tolist(), second.tolist(), strict=True))
        with self._lock:
            self._counts = self._counts.plus(counts)
            for classes, rows in pairs.items():
                pair = disagreement(*classes)
                if pair not in self._pairs and len(self._pairs) >= MOST_PAIRS:
                    pair = OTHER_PAIRS
                self._pairs[pair] += rows

    def _time(self, waiting: list[tuple[_Direction, Waiting]], allowances: Allowances) -> None:
        """Time both with one of the rows, in turn."""
        ready = [(one, left.first(LOOKED_AT)) for one, left in waiting if left.rows]
        if not ready:
            return
        direction, X = ready[0]
        for _ in range(_TIMED):
            if not (allowances.timing.is_left and allowances.whole.is_left):
                return
            self._begins = not self._begins
            seconds = direction.counterpart.time(X, self._begins)
            if seconds is None:
                return
            allowances.timing.spend(sum(seconds))
            allowances.whole.spend(sum(seconds))
            in_use, second = seconds if direction.from_in_use else seconds[::-1]
            self.add(Compared(timed=1, in_use_seconds=in_use, second_seconds=second))
