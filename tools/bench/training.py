"""The service's overhead over scikit-learn's own fit, and the effect on predictions."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.client import BenchFailed, Client
from tools.bench.fitting import CLASSIFIERS, rows
from tools.bench.forest import load, train
from tools.bench.open_loop import send_at
from tools.bench.options import Options
from tools.bench.processes import Server
from tools.bench.trained import upload

_PER_SECOND = 50
_SECONDS = 10.0
_TURNS = 4

_PREDICT = "predict"
_BARE = "bare ASGI app"


Fits = dict[str, list[tuple[float, float, float]]]
"""By classifier: the seconds of scikit-learn's fit, of POST /train, and of the fit within it."""

Latencies = dict[tuple[str, bool], list[float]]
"""Latencies in seconds, by server and by whether a training ran meanwhile."""


def measure(options: Options) -> str:
    """Train, alternating with scikit-learn alone; then predict with and without a training."""
    with _service(options) as service:
        client = service.client()
        found = _compare(client, options.rounds)
        tell("training: predictions beside a training")
        row = json.dumps(client.ask("GET", "/schema")["example"]).encode()
        reply = client.send("POST", "/predict", row)
        with processes.limit(options.folder("bare"), None, reply) as bare:
            latencies = _beside(client, bare.client(), service.client(), row)
    return f"{_fits(found, options.rounds)}\n{_latencies(latencies)}"


def fits(options: Options) -> Fits:
    """Train, alternating with scikit-learn alone."""
    with _service(options) as service:
        return _compare(service.client(), options.rounds)


@contextmanager
def _service(options: Options) -> Iterator[Server]:
    """Run the service with uploaded rows.

    It is not pinned, so that a training in a worker can use another core if there is
    one.
    """
    with processes.service(options.folder("training"), None) as service:
        upload(service.client(), "rows", *rows())
        yield service


def _compare(client: Client, rounds: int) -> Fits:
    found: Fits = {name: [] for name in CLASSIFIERS}
    # The first training waits for the worker host.
    train(client, load())
    with _fitter() as fitter:
        assert fitter.stdin is not None
        assert fitter.stdout is not None
        for turn in range(rounds):
            tell(f"training: round {turn + 1} of {rounds}")
            for name, params in CLASSIFIERS.items():
                fitter.stdin.write(f"{name}\n")
                fitter.stdin.flush()
                alone = float(fitter.stdout.readline())
                order = {
                    "name": "trained",
                    "dataset": "rows",
                    "model_type": name,
                    "params": params,
                    "use": False,
                    "wait": 120,
                }
                start = time.perf_counter()
                training = client.ask("POST", "/train", order)
                taken = time.perf_counter() - start
                if training["state"] != "succeeded":
                    raise BenchFailed(f"The training of a {name} did not end: {training}")
                found[name].append((alone, taken, training["seconds"]["fit"]))
    return found


@contextmanager
def _fitter() -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.bench.fitting"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _beside(client: Client, bare: Client, other: Client, row: bytes) -> Latencies:
    """Return the latencies of single rows without a training and beside a slow one.

    Also return those of the application that sends a constant reply, measured alternately, as
    they show the effect on any server of a machine whose cores are busy.
    """
    found: Latencies = {(who, when): [] for who in (_PREDICT, _BARE) for when in (False, True)}

    def ask(trains: bool) -> None:
        sent = send_at(client, row, _PER_SECOND, bare)
        for _ in range(int(_SECONDS * _PER_SECOND / 2)):
            for who in (_PREDICT, _BARE):
                found[who, trains].append(next(sent)[1])

    slow = {
        "name": "slow",
        "dataset": "rows",
        "model_type": "GradientBoostingClassifier",
        "params": {"n_estimators": 2000, "max_depth": 8},
        "use": False,
        "wait": 0,
    }
    for _ in range(_TURNS):
        ask(trains=False)
        identifier = other.ask("POST", "/train", slow)["id"]
        ask(trains=True)
        if other.ask("GET", f"/trainings/{identifier}")["state"] != "running":
            raise BenchFailed("The slow training ended before the measurement beside it.")
        other.ask("DELETE", f"/trainings/{identifier}")
    return found


def _fits(found: Fits, rounds: int) -> str:
    lines: list[list[object]] = []
    for name, runs in found.items():
        alone, taken, within = (statistics.median(column) for column in zip(*runs, strict=True))
        added = statistics.median(run[1] - run[0] for run in runs)
        lines.append([name, alone, within, taken, taken / alone, added, "<= 1"])
    note = (
        "10,000 rows of 20 numbers, uploaded before, 8,000 of them fitted; scikit-learn's fit in a "
        "process of one thread and the lowest priority, as the service's; medians of "
        f"{rounds} rounds. Added: what `POST /train` takes beyond that fit."
    )
    columns = ["classifier", "scikit-learn s", "fit within s", "POST /train s"]
    return table("Training", note, [*columns, "x scikit-learn", "added s", "goal"], lines)


def _latencies(latencies: Latencies) -> str:
    lines: list[list[object]] = []
    for (who, trains), values in latencies.items():
        p50, p99 = (float(value) for value in np.percentile(values, [50, 99]))
        idle = float(np.percentile(latencies[who, False], 99))
        when = "beside a training" if trains else "idle"
        goal = "<= 1.5" if trains and who == _PREDICT else ""
        numbers = [p50 * 1e3, p99 * 1e3, max(values) * 1e3, p99 / idle]
        lines.append([who, when, len(values), *numbers, goal])
    note = (
        f"One row of the forest and a constant, in turn, {_PER_SECOND} requests a second, each "
        f"latency from when it was due; {_TURNS} turns of {_SECONDS:g} s without and with a "
        "GradientBoostingClassifier trained. The machine makes the bare application wait as well."
    )
    columns = ["asked", "when", "requests", "p50 ms", "p99 ms", "slowest ms", "p99 x idle", "goal"]
    return table("Predictions beside a training", note, columns, lines)
