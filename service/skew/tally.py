"""Counts the answered rows of one version: kept as they are for a moment, counted off the path."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Schema
from service.schema.reference import Reference
from service.skew.budget import CELLS_A_ROW, Budget
from service.skew.layout import Layout
from service.skew.windows import Window, Windows

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]
Row = tuple[float, ...]

_ROWS = 256
_CELLS = 16_384
"""Rows, and cells, that are counted at a time: about 0.2 ms, during which no other thread runs."""

_Rows = tuple[int, Sequence[Row], Sequence[int], Sequence[float] | None]
_Part = tuple[int, Matrix, Labels, Matrix | None]


class Tally:
    """The counts of one version; its methods may be called from any thread."""

    def __init__(
        self,
        key: str,
        schema: Schema,
        reference: Reference | None,
        budget: Budget,
        clock: Callable[[], float],
        run: str = "",
    ) -> None:
        """`key` is the same in every replica, whatever the version's model is called now.

        `run` is the one in MLflow that keeps the counts; empty: they are not kept.
        """
        self.key = key
        self.run = run
        self.restored = not run
        """Whether what this replica wrote before is among the counts."""
        self.written = 0
        """The `rows` at the last time that the counts were written."""
        self.schema = schema
        self.reference = reference
        self.layout = Layout(schema, reference)
        self.windows = Windows(self.layout.size, clock)
        self.total = np.zeros(self.layout.size, np.int64)
        """What was counted in this process; it never falls."""
        self.rows = 0
        """Rows that were answered in this process."""
        self.lock = threading.Lock()
        """Held while counts are read or changed."""
        self._budget = budget
        self._cost = max(1.0, len(self.layout.features) / CELLS_A_ROW)
        self._chunk = max(1, min(_ROWS, _CELLS // self.layout.numbers_a_row))
        self._rows: deque[_Rows] = deque()
        self._parts: deque[_Part] = deque()

    def add_rows(
        self, rows: Sequence[Row], labels: Sequence[int], confidence: Sequence[float] | None = None
    ) -> None:
        """Count rows as the decoder makes them one by one, with the indexes of their classes.

        Nothing of it may change afterwards. `confidence` are the largest probabilities, if known.
        """
        total = len(rows)
        first, stride = self._budget.take(total, self._cost)
        if stride > 1:
            rows, labels = rows[first::stride], labels[first::stride]
            confidence = None if confidence is None else confidence[first::stride]
        self._rows.append((total, rows, labels, confidence))

    def add_matrix(
        self, X: Matrix, labels: Labels, probabilities: Matrix | None, keep: bool = True
    ) -> None:
        """Count rows [N, F] with the indexes of their classes [N].

        `keep`: the matrix does not change afterwards; otherwise what is counted of it is copied.
        """
        total = len(X)
        first, stride = self._budget.take(total, self._cost)
        X, labels = X[first::stride], labels[first::stride]
        confidence = None
        if probabilities is not None and len(labels):
            confidence = probabilities[first::stride].max(axis=1)
        if stride > 1 or not keep:
            X = np.array(X)
        self._parts.append((total, X, labels, confidence))

    def drain(self) -> bool:
        """Put what has been added into the bins; return whether there was anything."""
        with self.lock:
            total, counts = 0, np.zeros(self.layout.size, np.int64)
            for rows, X, labels, confidence in chain(self._batches(), self._matrices()):
                total += rows
                for start in range(0, len(X), self._chunk):
                    part = slice(start, start + self._chunk)
                    some = None if confidence is None else confidence[part]
                    counts += self.layout.count(X[part], labels[part], some)
            if total:
                self.rows += total
                self.total += counts
                self.windows.add(total, counts)
            return bool(total)

    def window(self, seconds: float) -> Window:
        """Return what was counted in the last seconds."""
        self.drain()
        with self.lock:
            return self.windows.window(seconds)

    def _matrices(self) -> Iterator[_Part]:
        for _ in range(len(self._parts)):
            yield self._parts.popleft()

    def _batches(self) -> Iterator[_Part]:
        """Yield single rows as matrices: of those with a known confidence, and of the others."""
        waiting: dict[bool, list[_Rows]] = {False: [], True: []}
        held = {False: 0, True: 0}
        for _ in range(len(self._rows)):
            item = self._rows.popleft()
            known = item[3] is not None
            waiting[known].append(item)
            held[known] += len(item[1])
            if held[known] >= self._chunk:
                yield self._matrix(waiting[known], known)
                waiting[known], held[known] = [], 0
        for known, items in waiting.items():
            if items:
                yield self._matrix(items, known)

    def _matrix(self, items: Sequence[_Rows], known: bool) -> _Part:
        total = sum(item[0] for item in items)
        rows = list(chain.from_iterable(item[1] for item in items))
        if not rows:
            empty: Any = np.empty((0, len(self.schema.features)))
            return total, empty, np.empty(0, np.int64), None
        labels = np.fromiter(chain.from_iterable(item[2] for item in items), np.int64, len(rows))
        confidence = None
        if known:
            shares = chain.from_iterable(item[3] or () for item in items)
            confidence = np.fromiter(islice(shares, len(rows)), np.float64, len(rows))
        return total, np.array(rows, np.float64), labels, confidence
