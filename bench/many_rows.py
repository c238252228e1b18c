"""Thousands of rows in one request, against scikit-learn's own `predict` of the same array."""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from bench import processes
from bench.client import BenchFailed, Client
from bench.forest import Forest, load, train
from bench.options import Options
from bench.tables import table, tell

SIZES = (1000, 10_000)
_REQUESTS = {1000: 30, 10_000: 10}
_GOAL = 1.2


def measure(options: Options) -> str:
    """Send objects and arrays in turn with scikit-learn's `predict`; give the table."""
    forest = load()
    rows: list[list[object]] = []
    # On all cores, as it runs; scikit-learn's forest uses one unless it is told otherwise.
    folder = options.folder("many-rows")
    # 10,000 objects are a little more than what a body may have by default.
    with processes.service(folder, None, max_body_bytes=str(16 * 2**20)) as service:
        client = service.client()
        train(client, forest)
        for count in SIZES:
            rows += _measure(client, forest, count, options.rounds)
    note = (
        "Rows of the same forest, one request after another; the service runs on all cores, "
        f"scikit-learn in process, on one thread; medians of {options.rounds} rounds of "
        f"{' and '.join(map(str, _REQUESTS.values()))} requests."
    )
    columns = ["rows", "what", "bytes", "rows/s", "ms", "x scikit-learn", "goal"]
    return table("Many rows", note, columns, rows)


def _measure(client: Client, forest: Forest, count: int, rounds: int) -> list[list[object]]:
    X = np.resize(forest.X, (count, forest.X.shape[1]))
    # No two rows alike: a tree's branches would be guessed right too often.
    X = np.round(X * np.random.default_rng(0).uniform(0.99, 1.01, X.shape), 5)
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
    ways = {"scikit-learn, array": lambda: forest.classifier.predict(X)}
    ways |= {name: ask(body) for name, body in bodies.items()}
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        tell(f"{count:,} rows: round {turn + 1} of {rounds}")
        for name, way in ways.items():
            figures[name].append(count / _median_seconds(way, _REQUESTS[count]))
    rows: list[list[object]] = []
    for name, rates in figures.items():
        pairs = zip(rates, figures["scikit-learn, array"], strict=True)
        ratio = statistics.median(rate / other for rate, other in pairs)
        size = f"{len(bodies[name]):,}" if name in bodies else ""
        goal = f">= {_GOAL}" if name in bodies else ""
        milliseconds = 1e3 * count / statistics.median(rates)
        rows.append([count, name, size, statistics.median(rates), milliseconds, ratio, goal])
    return rows


def _median_seconds(way: Callable[[], object], requests: int) -> float:
    way()
    taken = []
    for _ in range(requests):
        start = time.perf_counter()
        way()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
