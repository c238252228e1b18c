"""Where the time for many rows goes, step by step: `python -m tools.bench.rows_steps`.

No socket and no other process are involved. Each step is measured alone; the model runs on one
thread, unless stated otherwise, and Arrow's readers on all cores.
"""

import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import orjson

from service.common.domain import RowsMedia
from service.schema.decoder import Decoder
from service.schema.decoder import Limits as RequestLimits
from service.serving.predictor import Predictor
from service.worker.data.matrix import read_matrix
from service.worker.data.table import Limits
from tests.support.tables import table, write
from tools.bench.bulk import files_of
from tools.bench.forest import Forest, load
from tools.bench.steps import predictor_of

_KINDS: dict[str, RowsMedia] = {"CSV": "csv", "Parquet": "parquet", "Arrow": "arrow"}
_TURNS = 5


def measure() -> str:
    """Time the steps; return the table."""
    forest = load()
    predictor = predictor_of(forest)
    lines: list[list[object]] = []
    for count in (1000, 10_000):
        lines += _json(forest, predictor, count)
    lines += _files(forest, predictor, 100_000)
    return table(
        "Many rows, step by step",
        "The same forest, 30 named numbers a row, no two rows alike; the best of 5.",
        ["rows", "step", "ms", "us a row"],
        lines,
    )


def _json(forest: Forest, predictor: Predictor, count: int) -> list[list[object]]:
    X = forest.rows(count)
    objects = json.dumps({"instances": forest.named(X)}).encode()
    arrays = json.dumps({"instances": X.tolist()}).encode()
    decode = Decoder(predictor.schema, RequestLimits()).decode
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("scikit-learn's predict of the array", lambda: forest.classifier.predict(X)),
        ("the model runs", lambda: predictor.classifier.labels(X)),
        ("orjson parses arrays, no more", lambda: orjson.loads(arrays)),
        ("msgspec parses arrays, no more", lambda: msgspec.json.decode(arrays)),
        ("arrays are decoded and checked", lambda: decode(arrays)),
        ("objects are decoded and checked", lambda: decode(objects)),
    ]
    return [_line(count, step, function) for step, function in steps]


def _files(forest: Forest, predictor: Predictor, count: int) -> list[list[object]]:
    X = forest.rows(count)
    halves = X[: count // 2], X[count // 2 :]
    with ThreadPoolExecutor(2) as pool:
        at_once = _line(
            count,
            "the same of its halves, in two threads at once",
            lambda: list(pool.map(forest.classifier.predict, halves)),
        )
    lines = [
        _line(count, "scikit-learn's predict of the array", lambda: forest.classifier.predict(X)),
        at_once,
        _line(count, "the model runs", lambda: predictor.classifier.labels(X)),
    ]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for kind, (body, _) in files_of(forest, X).items():
            path = Path(folder) / kind
            path.write_bytes(body)

            def read(path: Path = path, kind: str = kind) -> Any:
                return read_matrix(path, _KINDS[kind], predictor.schema, Limits(rows=count))

            lines.append(_line(count, f"{kind} is read and checked", read))
    return lines


def _line(count: int, step: str, function: Callable[[], Any]) -> list[object]:
    best = float("inf")
    for _ in range(_TURNS):
        start = perf_counter()
        function()
        best = min(best, perf_counter() - start)
    return [f"{count:,}", step, best * 1e3, best / count * 1e6]


if __name__ == "__main__":
    write(measure())
