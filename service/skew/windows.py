"""Counts of one version over time, in memory that does not grow: coarser the further back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer[Any]]

MINUTE, HOUR, DAY = 60, 3600, 86_400

_SPANS = ((MINUTE, HOUR), (15 * MINUTE, DAY), (2 * HOUR, 14 * DAY))
"""Seconds that one bucket spans, and the longest window that is added up from such buckets."""

LONGEST = _SPANS[-1][1]
"""Of a window, in seconds."""


@dataclass(slots=True)
class Window:
    """What was counted in the last seconds."""

    rows: int = 0
    """All that were answered, also those left out of the bins."""
    since: float | None = None
    """When the first of them may have been answered, in seconds since 1970; None without rows."""
    counts: list[int] = field(default_factory=list)
    """By the version's `Layout`; empty without rows."""

    def add(self, other: "Window") -> None:
        """Add what was counted elsewhere, by the same layout."""
        if not other.rows:
            return
        self.since = other.since if not self.rows else min(self.since or 0, other.since or 0)
        self.rows += other.rows
        if not self.counts:
            self.counts = list(other.counts)
        else:
            self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]


@dataclass(slots=True)
class Bucket:
    """What was counted in one span of time."""

    rows: int
    counts: Counts


@dataclass(slots=True)
class Ring:
    """Buckets of one span, by their number since 1970."""

    span: int
    longest: int
    buckets: dict[int, Bucket] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """The most buckets: those of the longest window, and the one that it begins within."""
        return ceil(self.longest / self.span) + 1

    def add(self, number: int, rows: int, counts: Counts, now: float) -> None:
        """Add rows to a bucket, unless its time is over; forget those whose time is."""
        oldest = int(now // self.span) - self.most + 1
        if number < oldest:
            return
        bucket = self.buckets.get(number)
        if bucket is None:
            for gone in [one for one in self.buckets if one < oldest]:
                del self.buckets[gone]
            bucket = self.buckets[number] = Bucket(0, np.zeros(len(counts), np.uint32))
        bucket.rows += rows
        bucket.counts += counts.astype(np.uint32)

    def since(self, seconds: float, now: float) -> Iterator[tuple[int, Bucket]]:
        """Yield the buckets of a window: all of it, and at most one span more."""
        first, last = (now - seconds) // self.span, now // self.span
        for number, bucket in self.buckets.items():
            if first <= number <= last:
                yield number, bucket


class Windows:
    """Counts of the last fourteen days; for one thread at a time."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """`size` is that of the layout; `clock` returns seconds since 1970."""
        self.size = size
        self._clock = clock
        self.rings = [Ring(span, longest) for span, longest in _SPANS]

    def add(self, rows: int, counts: Counts) -> None:
        """Count rows that are answered now."""
        now = self._clock()
        for ring in self.rings:
            ring.add(int(now // ring.span), rows, counts, now)

    def merge(self, other: "Windows") -> None:
        """Add what was counted before, by the same layout."""
        now = self._clock()
        for ring, more in zip(self.rings, other.rings, strict=True):
            for number, bucket in more.buckets.items():
                ring.add(number, bucket.rows, bucket.counts, now)

    def window(self, seconds: float) -> Window:
        """Add up the last seconds, of which there are at most `LONGEST`."""
        now = self._clock()
        ring = next(one for one in self.rings if seconds <= one.longest)
        found = sorted(ring.since(seconds, now), key=lambda pair: pair[0])
        if not found:
            return Window()
        counts = np.zeros(self.size, np.int64)
        for _, bucket in found:
            counts += bucket.counts
        rows = sum(bucket.rows for _, bucket in found)
        return Window(rows, float(found[0][0] * ring.span), counts.tolist())
