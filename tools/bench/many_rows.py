"""Thousands of rows in one request, compared with scikit-learn's `predict` of the same array."""

import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.client import BenchFailed, Client
from tools.bench.forest import Forest, load, train
from tools.bench.options import Options

ROWS = 1000
_REQUESTS = {ROWS: 30, 10_000: 10}
_GOAL = ">= 1.2"
_SCIKIT_LEARN = "scikit-learn, array"


@dataclass(frozen=True, slots=True)
class Rates:
    """The rows per second of each round, and the bytes of a request."""

    count: int
    per_second: dict[str, list[float]]
    sizes: dict[str, int]
    fastest: dict[str, float]
    """The seconds of the fastest call of all rounds."""

    def best_ratio(self, name: str) -> float:
        """Return the ratio of the fastest calls, which other work on the machine disturbs least."""
        return self.fastest[_SCIKIT_LEARN] / self.fastest[name]

    def ratio(self, name: str) -> float:
        """Return the median of the ratios by round to scikit-learn's `predict`."""
        pairs = zip(self.per_second[name], self.per_second[_SCIKIT_LEARN], strict=True)
        return statistics.median(rate / other for rate, other in pairs)

    def lines(self) -> list[list[object]]:
        """Return a line of the table for each format."""
        lines: list[list[object]] = []
        for name, per_second in self.per_second.items():
            ours = name in self.sizes
            middle = statistics.median(per_second)
            size = f"{self.sizes[name]:,}" if ours else ""
            line: list[object] = [f"{self.count:,}", name, size, middle]
            lines.append([*line, 1e3 * self.count / middle, self.ratio(name), _GOAL * ours])
        return lines


def measure(options: Options) -> str:
    """Send objects and arrays, alternating with scikit-learn's `predict`; return the table."""
    lines = [line for found in rates(options, *_REQUESTS) for line in found.lines()]
    note = (
        "Rows of the same forest, one request after another; the service runs on all cores, "
        f"scikit-learn in process, on one thread; medians of {options.rounds} rounds of "
        f"{' and '.join(map(str, _REQUESTS.values()))} requests."
    )
    columns = ["rows", "what", "bytes", "rows/s", "ms", "x scikit-learn", "goal"]
    return table("Many rows", note, columns, lines)


def rates(options: Options, *counts: int) -> list[Rates]:
    """Send each count of rows as objects and arrays, alternating with scikit-learn's `predict`."""
    forest = load()
    # On all cores, as the service runs; scikit-learn's forest uses one by default.
    folder = options.folder("many-rows")
    # 10,000 objects slightly exceed the default limit of a body.
    with processes.service(folder, None, max_body_bytes=str(16 * 2**20)) as service:
        client = service.client()
        train(client, forest)
        return [_rates(client, forest, count, options.rounds) for count in counts]


def _rates(client: Client, forest: Forest, count: int, rounds: int) -> Rates:
    X = forest.rows(count)
    expected = forest.classifier.predict(X).tolist()
    bodies = {
        "service, objects": json.dumps({"instances": forest.named(X)}).encode(),
        "service, arrays": json.dumps({"instances": X.tolist()}).encode(),
    }

    def ask(body: bytes) -> Callable[[], object]:
        return lambda: client.send("POST", "/predict", body)

    for name, body in bodies.items():
        if json.loads(client.send("POST", "/predict", body))["predictions"] != expected:
            raise BenchFailed(f"{name}: another label than scikit-learn's.")
    ways = {_SCIKIT_LEARN: lambda: forest.classifier.predict(X)}
    ways |= {name: ask(body) for name, body in bodies.items()}
    figures: dict[str, list[float]] = {name: [] for name in ways}
    fastest = dict.fromkeys(ways, math.inf)
    for turn in range(rounds):
        tell(f"{count:,} rows: round {turn + 1} of {rounds}")
        for name, way in ways.items():
            taken = seconds(way, _REQUESTS[count])
            figures[name].append(count / statistics.median(taken))
            fastest[name] = min(fastest[name], *taken)
    return Rates(count, figures, {name: len(body) for name, body in bodies.items()}, fastest)


def seconds(way: Callable[[], object], calls: int = 30) -> list[float]:
    """Return the seconds of each call after a first one."""
    way()
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        way()
        taken.append(time.perf_counter() - start)
    return taken
