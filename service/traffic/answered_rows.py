"""Rows that one version answered clients, kept for a moment until the other version is asked."""

import threading
from collections import deque

import numpy as np

from service.skew.tally import Labels, Matrix

MOST_CELLS = 1_000_000
"""That wait at one time, in 8 MB; rows beyond it are shed."""

_GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are evenly spread, however regular the traffic is."""

_Part = tuple[Matrix, Labels]


class Waiting:
    """Rows that were taken from the queue, and are given out a few at a time."""

    def __init__(self, parts: deque[_Part]) -> None:
        self._parts = parts
        self.rows = sum(len(X) for X, _ in parts)
        """How many are left."""

    def first(self, rows: int) -> Matrix:
        """Return at most this many of the rows [N, F], which stay; at least one must be left."""
        return self._parts[0][0][:rows]

    def take(self, rows: int) -> _Part:
        """Return at most this many rows and their classes; at least one must be left."""
        X, labels = self._parts.popleft()
        if len(X) > rows:
            self._parts.appendleft((X[rows:], labels[rows:]))
        X, labels = X[:rows], labels[:rows]
        self.rows -= len(X)
        return X, labels


class AnsweredRows:
    """Watches the tally of one version; `collect` and `shed` are for another thread."""

    def __init__(self, percent: int) -> None:
        """Keep this share of the rows, evenly spread; 0: only count them."""
        self.rows = 0
        """Rows that clients were answered."""
        self.failed = 0
        """Requests of clients that the version could not answer."""
        self._share = percent / 100
        self._phase = 0.0
        self._left_out = 0.0
        self._shed = 0
        self._cells = 0
        self._parts: deque[_Part] = deque()
        self._lock = threading.Lock()

    @property
    def shed(self) -> int:
        """Rows that were to be kept and were not, or not long enough."""
        with self._lock:
            return self._shed

    def take(self, X: Matrix, labels: Labels) -> None:
        """Keep the share of these rows, as far as there is room."""
        self.rows += len(X)
        if not self._share:
            return
        if self._share < 1:
            phases = (self._phase + _GOLDEN * np.arange(len(X))) % 1.0
            self._phase = (self._phase + _GOLDEN * len(X)) % 1.0
            picked = phases < self._share
            X, labels = X[picked], labels[picked]
        with self._lock:
            room = (MOST_CELLS - self._cells) // X.shape[1]
            if room < len(X):
                self._shed += len(X) - room
                X, labels = X[:room].copy(), labels[:room].copy()  # or all would stay in memory
            if len(X):
                self._cells += X.size
                self._parts.append((X, labels))

    def leave_out(self, rows: int) -> None:
        """Count the share of rows that were answered and are not at hand."""
        self.rows += rows
        self._left_out += rows * self._share
        whole = int(self._left_out)
        self._left_out -= whole
        self.give_up(whole)

    def fail(self) -> None:
        """Count a request that the version could not answer."""
        self.failed += 1

    def give_up(self, rows: int) -> None:
        """Count rows that were kept in vain."""
        with self._lock:
            self._shed += rows

    def collect(self) -> Waiting:
        """Take all rows out."""
        with self._lock:
            parts, self._parts = self._parts, deque()
            self._cells = 0
        return Waiting(parts)
