"""Counts of one version over time, in bounded memory: the older they are, the coarser the spans."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer[Any]]

MINUTE, HOUR, DAY = 60, 3600, 86_400

_SPANS = ((MINUTE, HOUR), (15 * MINUTE, DAY), (2 * HOUR, 14 * DAY))
"""How many seconds one bucket spans, and the longest window that is made of such buckets."""

LONGEST = _SPANS[-1][1]
"""The longest window, in seconds."""


@dataclass(slots=True)
class Window:
    """What was counted in a window of time that ends now."""

    rows: int = 0
    """All rows that were answered, including those that were not counted in bins."""
    since: float | None = None
    """No row was answered before this time, in seconds since 1970; None without rows."""
    counts: list[int] = field(default_factory=list)
    """The array of the version's `Layout`; empty without rows."""

    def add(self, other: "Window") -> None:
        """Add the counts of another replica; they have the same layout."""
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
    """The buckets of one length. Bucket number n begins n times `span` seconds after 1970."""

    span: int
    longest: int
    buckets: dict[int, Bucket] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """The most buckets that are kept: the longest window may begin within one more."""
        return ceil(self.longest / self.span) + 1

    def add(self, number: int, rows: int, counts: Counts, now: float) -> None:
        """Add rows to a bucket, unless it is too old; drop the buckets that are too old."""
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
        """Yield the buckets that overlap a window; the first may begin up to one span before it."""
        first, last = (now - seconds) // self.span, now // self.span
        for number, bucket in self.buckets.items():
            if first <= number <= last:
                yield number, bucket


class Windows:
    """The counts of the last fourteen days. Only one thread may use it at a time."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """`size` is that of the layout; `clock` returns seconds since 1970."""
        self.size = size
        self._clock = clock
        self.rings = [Ring(span, longest) for span, longest in _SPANS]

    def add(self, rows: int, counts: Counts) -> None:
        """Add the counts of rows that are answered now."""
        now = self._clock()
        for ring in self.rings:
            ring.add(int(now // ring.span), rows, counts, now)

    def merge(self, other: "Windows") -> None:
        """Add the counts of before a restart; they have the same layout."""
        now = self._clock()
        for ring, more in zip(self.rings, other.rings, strict=True):
            for number, bucket in more.buckets.items():
                ring.add(number, bucket.rows, bucket.counts, now)

    def window(self, seconds: float) -> Window:
        """Add up the last `seconds`, at most `LONGEST`."""
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
