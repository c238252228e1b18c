"""100,000 rows in one file, compared with scikit-learn's own `predict` of the same array."""

import io
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.client import BenchFailed, Client
from tools.bench.forest import Forest, load, train
from tools.bench.options import Options

ROWS = 100_000
_WARM_SECONDS = 5.0
"""Warm-up time before timing, as the process that runs scikit-learn has to start."""
_GOALS = {"CSV": ">= 0.6", "Arrow": ">= 1.0"}


def measure(options: Options) -> str:
    """Send the rows as CSV, Parquet and Arrow, alternating with `predict`; return the tables."""
    # On all cores, as the service runs.
    folder = options.folder("bulk")
    with (
        processes.service(folder, None) as service,
        processes.limit(folder, None, b"{}") as limit,
    ):
        clients = service.client(), limit.client()
        forests = map(load, ("breast_cancer", "iris"))
        return "".join(_measure(*clients, forest, options) for forest in forests)


def _measure(client: Client, limit: Client, forest: Forest, options: Options) -> str:
    X = forest.rows(ROWS)
    expected = forest.classifier.predict(X).tolist()
    files = files_of(forest, X)
    train(client, forest)

    def ask(body: bytes, kind: str) -> Callable[[], bytes]:
        return lambda: client.send("POST", "/predict", body, kind)

    ways: dict[str, Callable[[], object]] = {
        "scikit-learn, array": lambda: forest.classifier.predict(X)
    }
    warm = time.perf_counter() + _WARM_SECONDS
    for name, (body, kind) in files.items():
        ways[name] = ask(body, kind)
        while True:
            if json.loads(ask(body, kind)())["predictions"] != expected:
                raise BenchFailed(f"{name}: another label than scikit-learn's.")
            if time.perf_counter() > warm:
                break
    ways["the limit, with Arrow's bytes"] = lambda: limit.send("POST", "/predict", *files["Arrow"])
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(2 * options.rounds):
        tell(f"bulk: {forest.data_set}, round {turn + 1} of {2 * options.rounds}")
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            figures[name].append(ROWS / (time.perf_counter() - start))
    rows: list[list[object]] = []
    for name, rates in figures.items():
        pairs = zip(rates, figures["scikit-learn, array"], strict=True)
        ratio = statistics.median(rate / other for rate, other in pairs)
        size = f"{len(files[name][0]):,}" if name in files else ""
        median = statistics.median(rates)
        rows.append([name, size, median, 1e3 * ROWS / median, ratio, _GOALS.get(name, "")])
    note = (
        f"{ROWS:,} rows of a forest of the same kind in one file, answered in JSON; the service "
        "runs on all cores, scikit-learn in process, on one thread; the limit reads the body and "
        f"answers a constant; medians of {2 * options.rounds} requests."
    )
    columns = ["what", "bytes", "rows/s", "ms", "x scikit-learn", "goal"]
    return table(f"Files of rows: {forest.X.shape[1]} numbers", note, columns, rows)


def files_of(
    forest: Forest, X: "np.ndarray[tuple[int, int], np.dtype[np.float64]]"
) -> dict[str, tuple[bytes, str]]:
    """Return the rows as one body of each format, with its content type."""
    rows = pa.table({name: X[:, index] for index, name in enumerate(forest.names)})
    csv, arrow, parquet = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pa_csv.write_csv(rows, csv)
    with pa.ipc.new_stream(arrow, rows.schema) as writer:
        writer.write_table(rows)
    pq.write_table(rows, parquet)
    return {
        "CSV": (csv.getvalue(), "text/csv"),
        "Parquet": (parquet.getvalue(), "application/vnd.apache.parquet"),
        "Arrow": (arrow.getvalue(), "application/vnd.apache.arrow.stream"),
    }
