"""How right a version was: counts that add up over requests, replicas and days; no instances."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from service.common.domain import Label

MOST_CONFUSED = 50
"""Classes up to which rows are counted by true and predicted class."""
BINS = 10
"""Of the largest probability, from 0 to 1; a value on an edge belongs to the bin below."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose largest probability lies in one tenth of 0 to 1."""

    rows: int = 0
    predicted: float = 0.0
    """The sum of these probabilities."""
    right: int = 0
    """Rows of the class that has this probability."""


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """What is counted of rows whose truth is known."""

    classes: int
    rows: int
    labels: tuple[Label, ...] | None = None
    """The classes in the order of `confusion`; None, as is that, for too many of them."""
    confusion: tuple[tuple[int, ...], ...] | None = None
    """Rows by true class, then by predicted one."""
    by_class: tuple[tuple[int, int, int], ...] | None = None
    """For too many classes: of each its rows, those predicted as it, and those of both."""
    log_loss: float | None = None
    """A sum, as is `brier`; None where the classifier has no probabilities."""
    brier: float | None = None
    calibration: tuple[Bin, ...] | None = None

    def is_sound(self) -> bool:
        """Return whether its parts fit together: others may have written the record."""
        if self.classes < 2 or self.rows < 1:
            return False
        parts = [self.log_loss is None, self.brier is None, self.calibration is None]
        if len(set(parts)) > 1:
            return False
        if self.calibration is not None and len(self.calibration) != BINS:
            return False
        if self.confusion is not None:
            square = {len(self.confusion), len(self.labels or ()), *map(len, self.confusion)}
            cells = [cell for row in self.confusion for cell in row]
            return square == {self.classes} and min(cells) >= 0 and sum(cells) == self.rows
        if self.by_class is None or len(self.by_class) != self.classes:
            return False
        return sum(rows for rows, _, _ in self.by_class) == self.rows

    def plus(self, other: "OutcomeCounts") -> "OutcomeCounts":
        """Return the sum; both are of the same version."""
        return replace(
            self,
            rows=self.rows + other.rows,
            confusion=_added_tables(self.confusion, other.confusion),
            by_class=_added_triples(self.by_class, other.by_class),
            log_loss=_added(self.log_loss, other.log_loss),
            brier=_added(self.brier, other.brier),
            calibration=_added_bins(self.calibration, other.calibration),
        )


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The counts of one version and day by one replica."""

    of: str
    """The identity of the version."""
    name: str
    """The model's name when the record was begun."""
    version: int
    day: str
    """In UTC, as in 2026-01-31."""
    counts: OutcomeCounts
    id: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a request was counted, kept with its counts so that it counts once."""

    key: str
    """A digest of its Idempotency-Key."""
    request: str
    """A digest of the request."""
    day: str = field(default="", kw_only=True)
    rows: int = field(default=0, kw_only=True)


def total(counts: Iterable[OutcomeCounts]) -> OutcomeCounts | None:
    """Return the sum of counts of one version; None of none.

    Counts of other classes than the first are left out: they were not written by this service.
    """
    result: OutcomeCounts | None = None
    for one in counts:
        if result is None:
            result = one
        elif (one.classes, one.labels) == (result.classes, result.labels):
            result = result.plus(one)
    return result


def _added(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _added_tables(
    one: tuple[tuple[int, ...], ...] | None, other: tuple[tuple[int, ...], ...] | None
) -> tuple[tuple[int, ...], ...] | None:
    if one is None or other is None:
        return None
    return tuple(tuple(map(sum, zip(*rows, strict=True))) for rows in zip(one, other, strict=True))


def _added_triples(
    one: tuple[tuple[int, int, int], ...] | None, other: tuple[tuple[int, int, int], ...] | None
) -> tuple[tuple[int, int, int], ...] | None:
    if one is None or other is None:
        return None
    return tuple((a + d, b + e, c + f) for (a, b, c), (d, e, f) in zip(one, other, strict=True))


def _added_bins(
    one: tuple[Bin, ...] | None, other: tuple[Bin, ...] | None
) -> tuple[Bin, ...] | None:
    if one is None or other is None:
        return None
    return tuple(
        Bin(a.rows + b.rows, a.predicted + b.predicted, a.right + b.right)
        for a, b in zip(one, other, strict=True)
    )
