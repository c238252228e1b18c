"""The cost of native models: predictions during changes, their latency, and their memory.

`python -m tools.bench.natives`: 200 requests a second with one row each, while the model in use
goes from a LogisticRegression in ONNX to a KNeighborsClassifier of a few MB and back 20 times; and,
for comparison, to a GaussianNB in ONNX and back.
"""

import json
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np

from tests.support.memory import Held, children, held
from tests.support.tables import table, write
from tools.bench import processes
from tools.bench.client import Client
from tools.bench.open_loop import send_at
from tools.bench.trained import train_all

_PER_SECOND = 200
_CHANGES = 20
_PAUSE_SECONDS = 0.5
_ROWS = 2000
_MODELS = {
    "linear": "LogisticRegression",
    "bayes": "GaussianNB",
    "near": "KNeighborsClassifier",
}


def main() -> int:
    """Print the tables."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        processes.service(Path(name), None) as service,
    ):
        client = service.client()
        body = train_all(client, _MODELS)
        _warm(client, body)
        memory = {"linear in use, before": _memory(service.pid)}
        sent = send_at(client, body, _PER_SECOND)
        idle = [seconds for _, seconds in islice(sent, 5 * _PER_SECOND)]
        lines = [_line("", "linear", idle)]
        for other in ("bayes", "near"):
            taken, changes = _while_changing(service, client, body, other)
            changed = f"linear and {other}, {np.median(changes) * 1e3:.0f} ms each"
            lines += [_line(changed, name, values) for name, values in taken.items()]
        client.ask("POST", "/use-model", {"name": "near"})
        own = [_time(client, body) for _ in range(_ROWS)]
        lines.append(_line("", "near, one after the other", own))
        memory["near in use"] = _memory(service.pid)
        client.ask("POST", "/use-model", {"name": "linear"})
        _warm(client, body)
        memory["linear in use, after"] = _memory(service.pid)
    write(_latencies(lines))
    write(_sizes(memory))
    return 0


def _warm(client: Client, body: bytes) -> None:
    for _ in range(200):
        client.send("POST", "/predict", body)


def _time(client: Client, body: bytes) -> float:
    start = time.perf_counter()
    client.send("POST", "/predict", body)
    return time.perf_counter() - start


def _while_changing(
    service: processes.Server, client: Client, body: bytes, model: str
) -> tuple[dict[str, list[float]], list[float]]:
    """Return the latencies by the model that answered, and the durations of the changes."""
    changes: list[float] = []
    ended = threading.Event()

    def change() -> None:
        changing = service.client()
        for index in range(2 * _CHANGES):
            ended.wait(_PAUSE_SECONDS)
            start = time.perf_counter()
            changing.ask("POST", "/use-model", {"name": (model, "linear")[index % 2]})
            changes.append(time.perf_counter() - start)
        ended.set()

    taken: dict[str, list[float]] = {"linear": [], model: []}
    thread = threading.Thread(target=change)
    thread.start()
    for reply, seconds in send_at(client, body, _PER_SECOND):
        taken[json.loads(reply)["model"]].append(seconds)
        if ended.is_set():
            break
    thread.join()
    return taken, changes


def _memory(pid: int) -> dict[str, Held]:
    """Return the resources of the service, the worker host and its workers."""
    (host,) = children(pid)
    own = sum(map(held, children(host)), Held())
    return {"service": held(pid), "host": held(host), "child": own}


def _line(changed: str, name: str, values: list[float]) -> list[object]:
    p50, p99 = (float(value) * 1e3 for value in np.percentile(values, [50, 99]))
    return [changed, name, len(values), p50, p99, max(values) * 1e3]


def _latencies(lines: list[list[object]]) -> str:
    note = (
        f"One row {_PER_SECOND} times a second, by the model that answered, while the model in use "
        f"changes {2 * _CHANGES} times."
    )
    columns = ["changed", "answered by", "requests", "p50 ms", "p99 ms", "slowest ms"]
    return table("Predictions", note, columns, lines)


def _sizes(memory: dict[str, dict[str, Held]]) -> str:
    lines: list[list[object]] = [
        [when, who, size.rss, size.pss]
        for when, sizes in memory.items()
        for who, size in sizes.items()
    ]
    return table("Memory", "MB of 10^6 bytes.", ["when", "process", "RSS", "PSS"], lines)


if __name__ == "__main__":
    sys.exit(main())
