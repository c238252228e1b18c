"""A thousand rows in one request, against scikit-learn's own `predict` of the same array."""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from bench import processes
from bench.client import BenchFailed
from bench.forest import load, train
from bench.options import Options
from bench.processes import pinned
from bench.tables import table, tell

ROWS = 1000
_REQUESTS = 30


def measure(options: Options) -> str:
    """Send objects and arrays in turn with scikit-learn's `predict`; give the table."""
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
        ways = {"scikit-learn, array": lambda: forest.classifier.predict(X)}
        ways |= {name: ask(body) for name, body in bodies.items()}
        figures: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(options.rounds):
            tell(f"many rows: round {turn + 1} of {options.rounds}")
            for name, way in ways.items():
                with pinned(cores.client if name in bodies else cores.server):
                    figures[name].append(ROWS / _median_seconds(way))
    rows: list[list[object]] = []
    for name, rates in figures.items():
        pairs = zip(rates, figures["scikit-learn, array"], strict=True)
        ratio = statistics.median(rate / other for rate, other in pairs)
        size = f"{len(bodies[name]):,}" if name in bodies else ""
        goal = ">= 0.5" if name in bodies else ""
        milliseconds = 1e3 * ROWS / statistics.median(rates)
        rows.append([name, size, statistics.median(rates), milliseconds, ratio, goal])
    note = (
        f"{ROWS:,} rows of the same forest a request, one request after another; scikit-learn in "
        f"process, on one thread; medians of {options.rounds} rounds of {_REQUESTS}."
    )
    columns = ["what", "bytes", "rows/s", "ms", "x scikit-learn", "goal"]
    return table("Many rows", note, columns, rows)


def _median_seconds(way: Callable[[], object]) -> float:
    way()
    taken = []
    for _ in range(_REQUESTS):
        start = time.perf_counter()
        way()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
