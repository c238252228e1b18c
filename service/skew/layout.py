"""All bins of one version in one array: by feature, by predicted class, by confidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Schema
from service.schema.reference import CONFIDENCE_BINS, QUANTILES, Reference

Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]
Counts = NDArray[np.int64]

MOST_BINS = 8192
"""The most bins for the features of one version; features that do not fit are not counted. Each bin
takes 4 bytes in each of 327 spans of time."""

_OUTSIDE = 2
"""Each feature has this many counts besides its bins: of a number, the values below and above the
range of the training; of a text, the unseen categories, and one that is not used."""


@dataclass(frozen=True, slots=True)
class FeatureBins:
    """Where a feature's counts are in the array."""

    name: str
    place: int
    """Its column in the matrix."""
    is_text: bool
    is_boolean: bool
    bins: slice
    """Each row is in exactly one of these bins; the last one is for missing values."""
    expected: Counts
    """The rows of the reference in each bin."""
    outside: int
    """Where its counts besides the bins begin. Of a number: the values below the range of the
    training, then those above it. Of a text: the unseen categories. The rows are in bins too."""

    @property
    def missing(self) -> int:
        """Where its count of missing values is."""
        return int(self.bins.stop) - 1


class Layout:
    """Counts rows in the bins of one version; its methods may be called from any thread."""

    def __init__(self, schema: Schema, reference: Reference | None) -> None:
        """Without a reference only the classes are counted."""
        self.features: list[FeatureBins] = []
        self.uncounted = 0
        """The number of features that do not fit."""
        size = 0
        if reference is not None:
            size = self._place(schema, reference)
        self.classes = slice(size, size + len(schema.classes))
        self.confidence = slice(self.classes.stop, self.classes.stop + CONFIDENCE_BINS)
        self.size = self.confidence.stop
        """The length of the array."""
        numbers = [one for one in self.features if not one.is_text]
        self._numbers = np.array([one.place for one in numbers], np.intp)
        self._first = np.array([one.bins.start for one in numbers], np.int64)
        self._gap = np.array([one.missing for one in numbers], np.int64)
        self._below = np.array([one.outside for one in numbers], np.int64)
        seen = [schema.features[one.place].seen or (-np.inf, np.inf) for one in numbers]
        self._low, self._high = (np.array([pair[side] for pair in seen]) for side in (0, 1))
        self._edges = _edges(reference, numbers)
        self._texts = [
            (one, _codes(reference, schema, one)) for one in self.features if one.is_text
        ]

    def _place(self, schema: Schema, reference: Reference) -> int:
        """Lay the bins of the features one after the other; return the length of all."""
        order = range(len(schema.features))
        # If not all of them fit, the most important ones are counted.
        ranked = sorted(order, key=lambda place: -(schema.features[place].importance or 0.0))
        size, chosen = 0, set()
        for place in ranked:
            more = len(reference.features[place].counts) + 1 + _OUTSIDE
            if size + more <= MOST_BINS:
                size += more
                chosen.add(place)
        self.uncounted = len(schema.features) - len(chosen)
        start = 0
        for place in sorted(chosen):
            one = reference.features[place]
            stop = start + len(one.counts) + 1
            self.features.append(
                FeatureBins(
                    one.name,
                    place,
                    schema.features[place].type == "text",
                    schema.features[place].type == "boolean",
                    slice(start, stop),
                    np.array([*one.counts, one.missing], np.int64),
                    stop,
                )
            )
            start = stop + _OUTSIDE
        return start

    @property
    def numbers_a_row(self) -> int:
        """How many cells are looked at to count a row."""
        return max(1, len(self.features))

    def count(self, X: Matrix, labels: Labels, confidence: Matrix | None) -> Counts:
        """Return the counts of rows: [size].

        `X` is their matrix as decoders make it, [N, F]; `labels` are the indexes of the
        predicted classes, [N]; `confidence` are the largest probabilities, [N].
        """
        where = [self.classes.start + labels]
        if confidence is not None:
            bins = (confidence * CONFIDENCE_BINS).astype(np.int64)
            where.append(self.confidence.start + np.clip(bins, 0, CONFIDENCE_BINS - 1))
        if len(self._numbers):
            cells = X[:, self._numbers]
            found = np.zeros(cells.shape, np.int64)
            for edge in self._edges:
                found += cells > edge  # a value on an edge is in the bin below
            found += self._first
            np.copyto(found, self._gap, where=np.isnan(cells))
            where.append(found.ravel())
        for one, codes in self._texts:
            column = X[:, one.place]
            missing = np.isnan(column)
            where.append(codes[np.where(missing, -2, column).astype(np.int64)])
        counts = np.bincount(np.concatenate(where), minlength=self.size)
        if len(self._numbers):
            counts[self._below] = np.count_nonzero(cells < self._low, axis=0)
            counts[self._below + 1] = np.count_nonzero(cells > self._high, axis=0)
        for one, _ in self._texts:
            counts[one.outside] = np.count_nonzero(X[:, one.place] == -1.0)
        return counts


def _edges(reference: Reference | None, numbers: list[FeatureBins]) -> Matrix:
    """Return the edges between the bins, [edge, feature]; inf where a feature has fewer."""
    edges = np.full((QUANTILES - 1, len(numbers)), np.inf)
    for index, one in enumerate(numbers):
        assert reference is not None
        own = reference.features[one.place].edges
        if one.is_boolean:
            own = (0.5,)  # between false and true
        edges[: len(own), index] = own
    used = int(np.isfinite(edges).any(axis=1).sum()) if len(numbers) else 0
    return edges[:used]


def _codes(reference: Reference | None, schema: Schema, one: FeatureBins) -> Labels:
    """Return the place of the bin of each category, by its code.

    The last entry is for the code -1, an unseen category, and the one before it for -2, a missing
    value: Python counts negative indexes from the end.
    """
    assert reference is not None
    others = one.missing - 1
    codes = np.full(len(schema.features[one.place].categories) + 2, others, np.int64)
    for bin_, code in enumerate(reference.features[one.place].categories):
        codes[code] = one.bins.start + bin_
    codes[-2] = one.missing
    return codes
