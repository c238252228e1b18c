"""How long a classifier takes, kept up to date: what may run on the event loop follows from it."""


class Pace:
    """How long the classifier takes: `base` seconds, and `row` for each row; kept up to date.

    Counted is what it had of the processor, by `Classifier.clock`, so that a busy machine does not
    make a model look slow. Threads write without a lock: an update that is lost does no harm.
    """

    WEIGHT = 1 / 8
    OUTLIER = 4.0
    """A run counts as so many times what was expected at most."""

    def __init__(self, base: float = 0.0, row: float = 0.0) -> None:
        self.base = base
        self.row = row

    def seconds(self, rows: int) -> float:
        """Give how long so many rows are expected to take."""
        return self.base + rows * self.row

    def learn(self, rows: int, seconds: float) -> None:
        """Move whichever of the two had the greater part in a run towards what it took."""
        expected = max(self.seconds(rows), 1e-9)
        change = 1 + self.WEIGHT * (min(seconds / expected, self.OUTLIER) - 1)
        if rows * self.row > self.base:
            self.row *= change
        else:
            self.base = max(self.base * change, 1e-7)
