"""Fails if speed has regressed: compares ratios of short measurements with generous bounds.

`python -m tools.bench.check`, by hand or nightly. Not a test: a busy machine can fail it.
"""

import math
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.tables import number, table, write
from tools.bench import command, many_rows, one_row, start, training
from tools.bench.load import ratio
from tools.bench.options import Options
from tools.bench.start import median_of

_MOST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound of a ratio, with enough margin that noise does not break it."""

    what: str
    unit: str
    """The figure that it is a multiple of, measured in the same run."""
    reason: str
    """Why the bound has this margin."""
    least: float = -math.inf
    most: float = math.inf

    def holds(self, figure: float) -> bool:
        """Return whether a figure is within the bound; NaN never is."""
        return self.least <= figure <= self.most

    def __str__(self) -> str:
        if math.isinf(self.most):
            return f"at least {number(self.least)}"
        return f"at most {number(self.most)}"


BOUNDS = (
    Bound(
        "one row, 1 connection",
        "the limit's requests/s",
        "each request waits for two processes to be woken, and other work delays that",
        least=0.5,
    ),
    Bound(
        "one row, 32 connections",
        "the limit's requests/s",
        "the limit's own rate differs by a fifth between runs; without the fast path it is 0.6",
        least=1.1,
    ),
    Bound(
        "ordinary path, 32 connections",
        "the limit's requests/s",
        "as above, and nobody is on the ordinary path for its speed",
        least=0.35,
    ),
    Bound(
        "1,000 rows of objects, fastest",
        "scikit-learn's rows/s, fastest",
        "scikit-learn runs alone, the service hands over to a client that other work delays",
        least=0.5,
    ),
    Bound(
        "ready on an existing folder",
        "the handler's start",
        "imports read files, which a cold disk makes slow for one and not for the other",
        most=3.0,
    ),
    Bound(
        "memory under load",
        "the handler's memory",
        "libraries grow from one release to the next",
        most=1.6,
    ),
    Bound(
        "training a forest",
        "scikit-learn's fit",
        "other work delays the child, and what it hands to MLflow, more than a bare fit",
        most=2.2,
    ),
    Bound(
        "what a logistic regression takes beyond its fit",
        "scikit-learn's fit of a forest",
        "its own fit takes milliseconds, so the forest's is the measure; disks differ",
        most=0.8,
    ),
)
"""The bounds, in the order of the report."""


def judge(figures: Mapping[str, float], bounds: tuple[Bound, ...] = BOUNDS) -> list[str]:
    """Return a sentence for every bound that is broken or whose figure is missing."""
    sentences: list[str] = []
    for bound in bounds:
        figure = figures.get(bound.what)
        if figure is None:
            sentences.append(f"Not measured: {bound.what}.")
        elif not bound.holds(figure):
            found = f"{number(figure)} times {bound.unit}"
            sentences.append(f"Regressed: {bound.what}: {found}, where it must be {bound}.")
    return sentences


def _measure(options: Options) -> dict[str, float]:
    loads = one_row.load_in_turn(options, (1, 32), ("limit", "service", "ordinary"))
    (rates,) = many_rows.rates(options, many_rows.ROWS)
    starts = start.starts(options)
    fits = training.fits(options)
    forest = statistics.median(alone for alone, _, _ in fits["RandomForestClassifier"])

    def to_limit(name: str, connections: int) -> float:
        return ratio(loads[name, connections], loads["limit", connections])

    def to_handler(figures: dict[str, list[float]]) -> float:
        return median_of(figures, "service") / median_of(figures, "handler")

    return {
        "one row, 1 connection": to_limit("service", 1),
        "one row, 32 connections": to_limit("service", 32),
        "ordinary path, 32 connections": to_limit("ordinary", 32),
        "1,000 rows of objects, fastest": rates.best_ratio("service, objects"),
        "ready on an existing folder": to_handler(starts.seconds),
        "memory under load": to_handler(starts.memory_mb),
        "training a forest": statistics.median(
            taken / alone for alone, taken, _ in fits["RandomForestClassifier"]
        ),
        "what a logistic regression takes beyond its fit": statistics.median(
            (taken - alone) / forest for alone, taken, _ in fits["LogisticRegression"]
        ),
    }


def _table(figures: Mapping[str, float], options: Options) -> str:
    lines = [
        [bound.what, figures.get(bound.what, "not measured"), bound.unit, str(bound)]
        for bound in BOUNDS
    ]
    note = f"Medians of {options.rounds} rounds; wrk runs for {options.seconds} s."
    return table("Check", note, ["what", "times", "what is measured beside it", "bound"], lines)


def main() -> int:
    """Print the figures; return 1 if one has regressed or cannot be measured."""
    asked = command.parser("tools.bench.check", __doc__, seconds=2).parse_args()

    def job(options: Options) -> int:
        figures = _measure(options)
        write(_table(figures, options))
        sentences = judge(figures)
        for sentence in sentences:
            sys.stderr.write(f"{sentence}\n")
        return int(bool(sentences))

    return command.run(asked, _MOST_SECONDS, job)


if __name__ == "__main__":
    sys.exit(main())
