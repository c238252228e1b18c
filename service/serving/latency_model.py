"""A model of how long a classifier takes. It decides what may run on the event loop or wait."""

from typing import NamedTuple


class _Means(NamedTuple):
    """Exponentially weighted means over the latest runs."""

    rows: float
    seconds: float
    squares: float
    """The mean of rows squared."""
    products: float
    """The mean of rows times seconds."""

    def moved(self, rows: int, seconds: float, weight: float) -> "_Means":
        run = (rows, seconds, rows * rows, rows * seconds)
        return _Means(*(old + weight * (new - old) for old, new in zip(self, run, strict=True)))


class LatencyModel:
    """The seconds of a run: `base`, and `row` for each of its rows.

    It is the least-squares line through the latest runs. Processor time is used
    (`Classifier.clock`), so that a busy machine does not make a model look slow. Threads write
    without a lock, since a lost update does no harm.
    """

    WEIGHT = 1 / 16
    OUTLIER = 4.0
    """A run counts as at most this many times its expected time."""

    def __init__(self, one: float = 0.0, many: float = 0.0, rows: int = 64) -> None:
        """Begin with the seconds of a run of one row, and of a run of `rows` rows."""
        self.row = max(0.0, many - one) / (rows - 1)
        self.base = max(0.0, one - self.row)
        single = _Means(1, one, 1, one)
        self._means = single.moved(rows, self.seconds(rows), 0.5)

    def seconds(self, rows: int) -> float:
        """Return how long a run of this many rows is expected to take."""
        return self.base + rows * self.row

    def learn(self, rows: int, seconds: float) -> None:
        """Add a run to the model."""
        seconds = min(seconds, self.OUTLIER * max(self.seconds(rows), 1e-7))
        self._means = means = self._means.moved(rows, seconds, self.WEIGHT)
        spread = means.squares - means.rows**2
        row = self.row
        if spread > 0.01 * means.squares:  # else all runs had about the same number of rows
            row = (means.products - means.rows * means.seconds) / spread
        self.row = min(max(0.0, row), means.seconds / means.rows)
        self.base = max(1e-7, means.seconds - means.rows * self.row)
