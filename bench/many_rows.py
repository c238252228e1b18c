"""A thousand rows in one request, against scikit-learn's own `predict` of the same array."""

import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench import processes
from bench.client import BenchFailed
from bench.forest import load, train
from bench.options import Options
from bench.processes import pinned
from bench.tables import table, tell

ROWS = 1000
_REQUESTS = 30


_SCIKIT_LEARN = "scikit-learn, array"


@dataclass(frozen=True, slots=True)
class Rates:
    """Rows a second of each round, and the bytes of a request."""

    per_second: dict[str, list[float]]
    sizes: dict[str, int]
    fastest: dict[str, float]
    """The seconds of the fastest call of all rounds."""

    def best_ratio(self, name: str) -> float:
        """Compare the fastest calls: what other work on the machine disturbs least."""
        return self.fastest[_SCIKIT_LEARN] / self.fastest[name]

    def ratio(self, name: str) -> float:
        """Give the median of the rounds' ratios to scikit-learn's `predict`."""
        pairs = zip(self.per_second[name], self.per_second[_SCIKIT_LEARN], strict=True)
        return statistics.median(rate / other for rate, other in pairs)


def measure(options: Options) -> str:
    """Send objects and arrays in turn with scikit-learn's `predict`; give the table."""
    found = rates(options)
    lines: list[list[object]] = []
    for name, per_second in found.per_second.items():
        ours = name in found.sizes
        size = f"{found.sizes[name]:,}" if ours else ""
        middle = statistics.median(per_second)
        goal = ">= 0.5" if ours else ""
        lines.append([name, size, middle, 1e3 * ROWS / middle, found.ratio(name), goal])
    note = (
        f"{ROWS:,} rows of the same forest a request, one request after another; scikit-learn in "
        f"process, on one thread; medians of {options.rounds} rounds of {_REQUESTS}."
    )
    columns = ["what", "bytes", "rows/s", "ms", "x scikit-learn", "goal"]
    return table("Many rows", note, columns, lines)


def rates(options: Options) -> Rates:
    """Send objects and arrays in turn with scikit-learn's `predict` of the same rows."""
    forest, cores = load(), options.cores
    X = np.resize(forest.X, (ROWS, forest.X.shape[1]))
    expected = forest.classifier.predict(X).tolist()
    bodies = {
        "service, objects": json.dumps({"instances": forest.named(X)}).encode(),
        "service, arrays": json.dumps({"instances": X.tolist()}).encode(),
    }
    with processes.service(options.folder("many-rows"), cores.server) as service:
        client = service.client()
        train(client, forest)

        def ask(body: bytes) -> Callable[[], object]:
            return lambda: client.send("POST", "/predict", body)

        for name, body in bodies.items():
            if json.loads(client.send("POST", "/predict", body))["predictions"] != expected:
                raise BenchFailed(f"{name}: another label than scikit-learn's.")
        ways = {_SCIKIT_LEARN: lambda: forest.classifier.predict(X)}
        ways |= {name: ask(body) for name, body in bodies.items()}
        figures: dict[str, list[float]] = {name: [] for name in ways}
        fastest = dict.fromkeys(ways, math.inf)
        for turn in range(options.rounds):
            tell(f"many rows: round {turn + 1} of {options.rounds}")
            for name, way in ways.items():
                with pinned(cores.client if name in bodies else cores.server):
                    taken = _seconds(way)
                figures[name].append(ROWS / statistics.median(taken))
                fastest[name] = min(fastest[name], *taken)
    return Rates(figures, {name: len(body) for name, body in bodies.items()}, fastest)


def median_seconds(way: Callable[[], object]) -> float:
    """Time 30 calls after a first one; give the median."""
    return statistics.median(_seconds(way))


def _seconds(way: Callable[[], object]) -> list[float]:
    way()
    taken = []
    for _ in range(_REQUESTS):
        start = time.perf_counter()
        way()
        taken.append(time.perf_counter() - start)
    return taken
