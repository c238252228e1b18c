"""What a search costs beyond its fits: trials a second of a tree that fits in about 5 ms."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.client import BenchFailed, Client
from tools.bench.options import Options
from tools.bench.processes import Server
from tools.bench.trained import upload

_CORE = 0
_GOAL = 20
_TRIALS = 100
_FOLDS = 5
_DEPTH = 5
_ROWS = 1_700
_FITS = 100

_EQUAL = {"min_impurity_decrease": {"low": 1e-15, "high": 1e-12, "log": True}}
"""Has no effect, so that no trial is worse than another one, and all score each fold."""
_SETUPS: dict[str, dict[str, Any]] = {
    "no trial pruned": {"space": _EQUAL},
    "as it is": {
        "space": {
            "min_samples_leaf": {"low": 1, "high": 200, "log": True},
            "max_features": {"low": 0.1, "high": 1.0},
        }
    },
    "lists": {"params": {"min_samples_leaf": list(range(1, _TRIALS + 1))}},
}


def measure(options: Options) -> str:
    """Search on one core with the embedded MLflow, in turn with the fits alone."""
    found: dict[str, list[_Run]] = {name: [] for name in _SETUPS}
    alone: list[float] = []
    with processes.service(options.folder("search"), _CORE) as service:
        client = service.client()
        upload(client, "rows", *rows())
        # The first waits for the worker host.
        _search(service, client, {**_SETUPS["lists"], "n_iter": 3})
        for turn in range(options.rounds):
            tell(f"search: round {turn + 1} of {options.rounds}")
            alone.append(_fit_alone())
            for name, search in _SETUPS.items():
                found[name].append(_search(service, client, search))
    fit = statistics.median(alone)
    note = (
        f"{_TRIALS} trials of {_FOLDS} folds of a decision tree that fits in {fit * 1000:.1f} ms "
        "of a core; service, worker and embedded MLflow share one. In milliseconds of that core by "
        "trial: its fits; what the worker takes besides, to score them, to ask Optuna and to tell; "
        "what the service takes, which is MLflow's records. The rate is that of a core that does "
        f"nothing else; medians of {options.rounds} rounds."
    )
    columns = ["", "pruned", "fits", "worker", "service", "trials/s of a core", "by clock", "goal"]
    return table("Search", note, columns, [_row(name, runs, fit) for name, runs in found.items()])


class _Run(NamedTuple):
    """A search; all but counts in seconds."""

    clock: float
    """From the request to its reply, with the training of the best."""
    search: float
    """That the search itself took."""
    worker: float
    """Of a core, that the host and its workers took; the last fit and its pictures apart."""
    service: float
    """Of a core, that the service took."""
    fits: int
    pruned: int


def _row(name: str, runs: Sequence[_Run], fit: float) -> list[object]:
    def middle(read: Callable[[_Run], float]) -> float:
        return statistics.median(map(read, runs))

    fits = middle(lambda run: run.fits) * fit
    worker, service = middle(lambda run: run.worker), middle(lambda run: run.service)
    return [
        name,
        int(middle(lambda run: run.pruned)),
        *(seconds / _TRIALS * 1000 for seconds in (fits, worker - fits, service)),
        _TRIALS / (worker + service),
        _TRIALS / middle(lambda run: run.clock),
        f">= {_GOAL}",
    ]


def rows() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return 1,700 rows of 10 features."""
    X, y = make_classification(_ROWS, 10, n_informative=6, random_state=0)
    return X, y


def _search(service: Server, client: Client, search: dict[str, Any]) -> _Run:
    asked = dict(search)
    if "space" in asked:
        asked |= {"trials": _TRIALS, "folds": _FOLDS}
    body = {
        "name": "searched",
        "dataset": "rows",
        "model_type": "DecisionTreeClassifier",
        "params": {"max_depth": _DEPTH},
        "use": False,
        "wait": 300,
    }
    start, before = time.perf_counter(), _cores(service)
    training = client.ask("POST", "/train", {**body, "search": asked})
    clock, after = time.perf_counter() - start, _cores(service)
    state = training.get("search", {})
    if training["state"] != "succeeded" or state["failed"]:
        raise BenchFailed(f"The search did not succeed: {training}")
    before_plain = _cores(service)
    client.ask("POST", "/train", body)
    plain = [late - early for early, late in zip(before_plain, _cores(service), strict=True)]
    spent = [late - early for early, late in zip(before, after, strict=True)]
    pruned = state["pruned"]
    # A trial that is pruned has scored one fold at least.
    fits = (state["trials"] - pruned) * _FOLDS + pruned
    seconds = training["seconds"]["search"]
    return _Run(clock, seconds, spent[1] - plain[1], spent[0] - plain[0], fits, pruned)


def _cores(service: Server) -> tuple[float, float]:
    """Return the seconds of a core that the service took, and its worker host with all workers."""
    own = psutil.Process(service.pid)
    times = own.cpu_times()
    host = own.children()[0].cpu_times()
    workers = host.user + host.system + host.children_user + host.children_system
    return times.user + times.system, workers


def _fit_alone() -> float:
    """Return the seconds of a core that a fit takes, in a process of its own, as trials are."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = ["taskset", "-c", str(_CORE), sys.executable, "-m", "tools.bench.search"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(shown.stdout))


def main() -> None:
    """Print the mean seconds of a core of a fit on the rows of a fold."""
    os.nice(19)
    X, y = rows()
    X, _, y, _ = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    fitted = len(X) - len(X) // _FOLDS
    tree = DecisionTreeClassifier(max_depth=_DEPTH, random_state=0)
    start = time.process_time()
    for _ in range(_FITS):
        tree.fit(X[:fitted], y[:fitted])
    sys.stdout.write(json.dumps((time.process_time() - start) / _FITS))


if __name__ == "__main__":
    main()
