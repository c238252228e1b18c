"""Counts the answered rows of one version: kept as they are for a moment, counted off the path."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Protocol, TypeVar

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

T = TypeVar("T", _Rows, _Part)


class Watcher(Protocol):
    """Gets the rows that a tally counts; its methods are called by one thread at a time."""

    def take(self, X: Matrix, labels: Labels) -> None:
        """Take rows [N, F], as decoders make them, with the indexes of their classes [N].

        Nothing of it changes afterwards. The tally waits, so this has to be quick.
        """

    def leave_out(self, rows: int) -> None:
        """Note that this many more rows were answered, which the budget left out."""

    def fail(self) -> None:
        """Note a request that the version could not answer; called on the event loop's thread."""


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
        """`key` is the version's identity, which is the same in every replica.

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
        self._left_out = 0
        """Rows that were added and not counted; only the event loop's thread changes it."""
        self._left_out_before = 0
        self._budget = budget
        self._cost = max(1.0, len(self.layout.features) / CELLS_A_ROW)
        self._chunk = max(1, min(_ROWS, _CELLS // self.layout.numbers_a_row))
        self._rows: deque[_Rows] = deque()
        self._parts: deque[_Part] = deque()
        self._watcher: Watcher | None = None

    def watch(self, watcher: Watcher | None) -> None:
        """Hand what is answered from now on to a watcher instead of any before; None: to nobody."""
        self.drain()
        with self.lock:
            self._watcher = watcher

    def fail(self) -> None:
        """Tell the watcher of a request that the version could not answer."""
        watcher = self._watcher
        if watcher is not None:
            watcher.fail()

    def add_rows(
        self, rows: Sequence[Row], labels: Sequence[int], confidence: Sequence[float] | None = None
    ) -> None:
        """Count the few rows of one run, as the decoder makes them, with their classes' indexes.

        Nothing of it may change afterwards. `confidence` are the largest probabilities, if known.
        """
        if self._budget.takes(len(rows), self._cost):
            self._rows.append((len(rows), rows, labels, confidence))
        else:
            self._left_out += len(rows)

    def add_run(self, X: Matrix, labels: Labels) -> None:
        """Count the few rows of one run [N, F] with their classes [N]; both are copied.

        Like `add_rows`, it is for the event loop's thread alone.
        """
        if self._budget.takes(len(X), self._cost):
            # Arrays, unlike lists, are nothing that the garbage collector has to look at.
            self._parts.append((len(X), X.copy(), labels.copy(), None))
        else:
            self._left_out += len(X)

    def add_matrix(
        self, X: Matrix, labels: Labels, probabilities: Matrix | None, keep: bool = True
    ) -> None:
        """Count rows [N, F] with the indexes of their classes [N].

        `keep`: the arrays do not change afterwards; otherwise what is counted of them is copied.
        """
        total = len(X)
        first, stride = self._budget.take(total, self._cost)
        X, labels = X[first::stride], labels[first::stride]
        confidence = None
        if probabilities is not None:
            confidence = probabilities[first::stride].max(axis=1)
        if stride > 1 or not keep:
            X, labels = np.array(X), np.array(labels)
        self._parts.append((total, X, labels, confidence))

    def drain(self) -> bool:
        """Put what has been added into the bins; return whether there was anything."""
        with self.lock:
            left_out = self._left_out
            total, self._left_out_before = left_out - self._left_out_before, left_out
            counts = np.zeros(self.layout.size, np.int64)
            taken = 0
            for rows, X, labels, confidence in chain(self._batches(), self._matrices()):
                total += rows
                taken += len(X)
                if self._watcher is not None:
                    self._watcher.take(X, labels)
                for start in range(0, len(X), self._chunk):
                    part = slice(start, start + self._chunk)
                    some = None if confidence is None else confidence[part]
                    counts += self.layout.count(X[part], labels[part], some)
            if self._watcher is not None and total > taken:
                self._watcher.leave_out(total - taken)
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
        """Yield what `add_matrix` took, small ones together."""
        for parts in self._grouped(self._parts):
            if len(parts) == 1:
                yield parts[0]
                continue
            totals, matrices, labels, confidences = zip(*parts, strict=True)
            known = None if confidences[0] is None else np.concatenate(confidences)
            yield sum(totals), np.concatenate(matrices), np.concatenate(labels), known

    def _batches(self) -> Iterator[_Part]:
        """Yield what `add_rows` took as matrices."""
        for parts in self._grouped(self._rows):
            total = sum(part[0] for part in parts)
            rows = list(chain.from_iterable(part[1] for part in parts))
            labels = np.fromiter(chain.from_iterable(part[2] for part in parts), np.int64)
            confidence = None
            if parts[0][3] is not None:
                shares = chain.from_iterable(part[3] or () for part in parts)
                confidence = np.fromiter(shares, np.float64)
            width = len(self.schema.features)
            yield total, np.array(rows, np.float64).reshape(-1, width), labels, confidence

    def _grouped(self, queue: deque[T]) -> Iterator[list[T]]:
        """Empty a queue; yield together what has about as many rows as are counted at a time.

        The confidence is known of all in a group, or of none.
        """
        groups: dict[bool, list[T]] = {False: [], True: []}
        held = {False: 0, True: 0}
        for _ in range(len(queue)):
            item = queue.popleft()
            known = item[3] is not None
            groups[known].append(item)
            held[known] += len(item[1])
            if held[known] >= self._chunk:
                yield groups[known]
                groups[known], held[known] = [], 0
        yield from filter(None, groups.values())
