"""What native models cost: predictions while they come and go, their own latency, and memory.

`python -m bench.natives`: 200 requests a second with one row each, while the model in use goes
from a LogisticRegression in ONNX to a KNeighborsClassifier of a few MB and back 20 times; and, to
compare with, to a GaussianNB in ONNX and back.
"""

import json
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from bench import processes
from bench.client import Client
from bench.fitting import rows
from bench.open_loop import send_at
from bench.tables import table, write

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
        body = _train(client)
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


def _train(client: Client) -> bytes:
    """Make the models and put the linear one in use; give a row."""
    X, y = rows()
    frame = pd.DataFrame(X, columns=[f"x{index}" for index in range(X.shape[1])])
    csv = frame.assign(y=np.where(y, "yes", "no")).to_csv(index=False).encode()
    client.send("POST", "/datasets?name=rows&target=y", csv, "text/csv")
    order = {"dataset": "rows", "use": False, "wait": 120}
    for name, kind in _MODELS.items():
        client.ask("POST", "/train", {**order, "name": name, "model_type": kind})
    client.ask("POST", "/use-model", {"name": "linear"})
    return json.dumps(client.ask("GET", "/schema")["example"]).encode()


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
    """Give the latencies by the model that answered, and how long the changes took."""
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


def _memory(pid: int) -> dict[str, tuple[float, float]]:
    """Give RSS and PSS in MB of the process, the host of children, and the host's children."""
    (host,) = _children(pid)
    found = {"service": _size(pid), "host": _size(host)}
    sizes = [_size(child) for child in _children(host)]
    return {**found, "child": (sum(rss for rss, _ in sizes), sum(pss for _, pss in sizes))}


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _size(pid: int) -> tuple[float, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (int(text.split(f"\n{key}:")[1].split()[0]) for key in ("Rss", "Pss"))
    return rss * 1024 / 1e6, pss * 1024 / 1e6


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


def _sizes(memory: dict[str, dict[str, tuple[float, float]]]) -> str:
    lines: list[list[object]] = [
        [when, who, *size] for when, sizes in memory.items() for who, size in sizes.items()
    ]
    return table("Memory", "MB of 10^6 bytes.", ["when", "process", "RSS", "PSS"], lines)


if __name__ == "__main__":
    sys.exit(main())
