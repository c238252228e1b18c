"""Load above the service's capacity: `python -m tools.bench.overload [--picture FILE]`.

Two models, one of which takes milliseconds a row, and requests of several rows. Capacity C is the
rate of 4 clients that wait for each reply; then requests come at 0.5 to 10 times C on up to 500
connections, independent of the replies, as far as the client keeps up. Half of them come on
new connections, in both cases. One core serves, the other one sends.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from tests.support.tables import table, tell, write
from tools.bench import processes
from tools.bench.client import Client
from tools.bench.crowd import Crowd, Outcome
from tools.bench.trained import upload

_TIMES = (0.5, 1.0, 1.5, 2.5, 5.0, 10.0)
_MOST_PER_SECOND = 6000
"""The highest rate that the client keeps up with."""
_CLIENTS = 4
"""As many as admission lets in without a refusal, however slow the model is."""
_PROBE_SECONDS = 0.05

_SLOW = {"algorithm": "brute", "metric": "minkowski", "p": 3}
_MODELS: Mapping[str, tuple[str, Mapping[str, object], int, int]] = {
    "nearest of 1,000 rows": ("KNeighborsClassifier", _SLOW, 1250, 1),
    "nearest of 26,000 rows": ("KNeighborsClassifier", _SLOW, 32_500, 1),
    "nearest of 3,400 rows, 10 rows a request": ("KNeighborsClassifier", _SLOW, 4_250, 10),
}
"""Class, parameters, rows of the data set, and rows per request."""


@dataclass(slots=True)
class _Step:
    """The figures at one rate."""

    outcome: Outcome
    healthz: float
    """The slowest of the probes, in seconds."""
    resident_mb: float


def main() -> int:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each rate")
    parser.add_argument("--only", default="", help="the models whose title holds this")
    parser.add_argument("--picture", type=Path, help="draw the curve to this file")
    asked = parser.parse_args()
    curves: dict[str, tuple[float, list[_Step]]] = {}
    cores = processes.two_cores(pin=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        processes.service(Path(name), cores.server) as service,
        processes.pinned(cores.client),
    ):
        client = service.client()
        for title, (kind, params, rows, instances) in _MODELS.items():
            if asked.only not in title:
                continue
            tell(f"training {title}")
            body = _train(client, kind, params, rows, instances)
            one = _latency(client, body)
            capacity, steps = asyncio.run(_measure(service, body, asked.seconds))
            curves[title] = capacity, steps
            write(_table(title, one, capacity, steps))
    if asked.picture:
        _draw(curves, asked.picture)
    return 0


def _train(
    client: Client, kind: str, params: Mapping[str, object], rows: int, instances: int
) -> bytes:
    """Train a model and put it in use; return a request."""
    random = np.random.default_rng(0)
    X = random.normal(size=(rows, 20))
    name = f"rows-{rows}"
    upload(client, name, X.round(4), X[:, :5].sum(axis=1) + random.normal(size=rows) > 0)
    order = {"dataset": name, "model_type": kind, "params": params, "wait": 300}
    client.ask("POST", "/train", order)
    example = client.ask("GET", "/schema")["example"]
    return json.dumps({"instances": example["instances"] * instances}).encode()


def _latency(client: Client, body: bytes) -> float:
    """Return the median seconds of a request without concurrent ones."""
    taken = []
    for _ in range(100):
        start = time.perf_counter()
        client.send("POST", "/predict", body)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


async def _measure(
    service: processes.Server, body: bytes, seconds: float
) -> tuple[float, list[_Step]]:
    crowd = Crowd(service.port, body)
    await crowd.closed_loop(_CLIENTS, 1.0)
    capacity = await crowd.closed_loop(_CLIENTS, seconds)
    steps = []
    for times in _TIMES:
        if times * capacity > _MOST_PER_SECOND:
            break
        tell(f"  {times:g} times {capacity:.0f} a second")
        probes = asyncio.create_task(asyncio.to_thread(_probe, service.port, seconds))
        outcome = await crowd.at(times * capacity, seconds)
        steps.append(_Step(outcome, await probes, service.resident_mb()))
        await asyncio.sleep(0.5)
    crowd.close()
    return capacity, steps


def _probe(port: int, seconds: float) -> float:
    """Request /healthz repeatedly, on a new connection each time; return the slowest."""
    end, slowest = time.perf_counter() + seconds, 0.0
    while (start := time.perf_counter()) < end:
        client = Client(port)
        client.send("GET", "/healthz")
        client.close()
        slowest = max(slowest, time.perf_counter() - start)
        time.sleep(_PROBE_SECONDS)
    return slowest


def _table(title: str, one: float, capacity: float, steps: Sequence[_Step]) -> str:
    rows = []
    for times, step in zip(_TIMES, steps, strict=False):
        outcome = step.outcome
        rows.append(
            [
                f"{times:g}",
                outcome.offered,
                outcome.goodput,
                outcome.goodput / min(capacity, outcome.offered),
                _p99(outcome.accepted),
                _p99(outcome.refused),
                outcome.failed,
                step.healthz * 1e3,
                step.resident_mb,
            ]
        )
    note = (
        f"Alone, a request takes {one * 1e3:.2f} ms; C = {capacity:,.0f} a second. Goodput is "
        "compared with C, or with what was offered where that is less."
    )
    columns = ["x C", "offered/s", "answered/s", "goodput", "answered: p99 ms", "refused: p99 ms"]
    columns += ["failed", "slowest /healthz ms", "RSS MB"]
    return table(f"Overload: {title}", note, columns, rows)


def _p99(taken: Sequence[float]) -> float | str:
    return float(np.percentile(taken, 99)) * 1e3 if taken else ""


def _draw(curves: Mapping[str, tuple[float, Sequence[_Step]]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for title, (capacity, steps) in curves.items():
        offered = [step.outcome.offered / capacity for step in steps]
        axes.plot(offered, [s.outcome.goodput / capacity for s in steps], marker="o", label=title)
    axes.plot([0, 1, max(_TIMES)], [0, 1, 1], color="grey", linewidth=0.8, label="capacity")
    axes.set(xlabel="offered, as a multiple of capacity", ylabel="answered, likewise")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
