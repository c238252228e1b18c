"""What a search finds, beside scikit-learn's halving search and plain Optuna in the same time.

All three draw from the default space of a random forest, by 5 folds and log loss, on the same rows
to train on; the best of each is fitted on these and measured on the same held-out rows.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import (
    HalvingRandomSearchCV,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)

from service.worker.learning.classifiers import model_type
from service.worker.learning.default_spaces import default_space
from service.worker.learning.spaces import Choices, Space
from tests.support.tables import table, tell
from tools.bench import command, processes
from tools.bench.client import BenchFailed, Client
from tools.bench.options import Options

_KIND = "RandomForestClassifier"
_SETS: dict[str, Callable[..., Any]] = {
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
    "wine": load_wine,
}
_SECONDS = 20.0
_FOLDS = 5
_CALIBRATION = 8
"""Candidates by which it is found out how many a halving search tries in the time."""
_MOST_SECONDS = 3_600

_WAYS = ("service", "halving", "optuna")
Parts = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def measure(options: Options) -> str:
    """Search by each in turn, with another split and seed in each round; return the table."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with processes.service(options.folder("quality"), None) as service:
        for seed in range(options.rounds):
            for name in _SETS:
                for way in _WAYS:
                    tell(f"quality: round {seed + 1} of {options.rounds}, {name}, {way}")
                    run = (
                        _service(service.client(), name, seed)
                        if way == "service"
                        else _aside(way, name, seed)
                    )
                    found.setdefault((name, way), []).append(run)
    rows: list[list[object]] = [
        [
            name,
            way,
            *(
                statistics.median(run[key] for run in found[name, way])
                for key in ("trials", "seconds", "log_loss", "accuracy")
            ),
        ]
        for name in _SETS
        for way in _WAYS
    ]
    note = (
        f"{_SECONDS:g} s for each to search a random forest's default space, in one process; "
        f"medians of {options.rounds} rounds, each with another split. Log loss and accuracy are "
        "of the held-out rows."
    )
    columns = ["data set", "search", "candidates", "seconds", "log loss", "accuracy"]
    return table("What a search finds", note, columns, rows)


def _service(client: Client, name: str, seed: int) -> dict[str, float]:
    body = {
        "name": "found",
        "dataset": name,
        "model_type": _KIND,
        "seed": seed,
        "search": {"seconds": _SECONDS, "trials": 1000, "folds": _FOLDS, "metric": "log_loss"},
        "use": False,
        "wait": 300,
    }
    training = client.ask("POST", "/train", body)
    if training["state"] != "succeeded":
        raise BenchFailed(f"The search did not succeed: {training}")
    return {
        **{key: training["metrics"][key] for key in ("log_loss", "accuracy")},
        "trials": training["search"]["trials"],
        "seconds": training["seconds"]["search"],
    }


def _aside(way: str, name: str, seed: int) -> dict[str, float]:
    """Search in a process of its own, as trials are: one thread, and the lowest priority."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "tools.bench.search_quality", "--aside", way, name, str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


def _search_here(way: str, name: str, seed: int) -> dict[str, float]:
    os.nice(19)
    warnings.simplefilter("ignore")
    X, y = _SETS[name](return_X_y=True)
    held_out = int(np.ceil(len(X) * 0.2))
    # Of places, as the service splits: what is held out is the same.
    train, test = train_test_split(
        np.arange(len(X)), test_size=held_out, random_state=seed, stratify=y
    )
    train, test = np.sort(train), np.sort(test)
    kind = model_type(_KIND)
    space = default_space(kind, len(train) * (_FOLDS - 1) // _FOLDS, X.shape[1])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    start = time.perf_counter()
    search = _halving if way == "halving" else _optuna
    params, trials, seconds = search(X[train], y[train], space, folds, seed, start)
    forest = RandomForestClassifier(**params, random_state=seed).fit(X[train], y[train])
    return {
        "log_loss": float(log_loss(y[test], forest.predict_proba(X[test]))),
        "accuracy": float(accuracy_score(y[test], forest.predict(X[test]))),
        "trials": trials,
        "seconds": seconds,
    }


def _halving(
    X: NDArray[Any], y: NDArray[Any], space: Space, folds: Any, seed: int, start: float
) -> tuple[dict[str, Any], int, float]:
    """Halve as many candidates as take the time, which is known from a few of them."""

    def halve(count: int) -> Any:
        candidates = [{k: [v] for k, v in drawn.items()} for drawn in _drawn(space, count, seed)]
        return HalvingRandomSearchCV(
            RandomForestClassifier(random_state=seed),
            candidates,
            n_candidates=count,
            cv=folds,
            scoring="neg_log_loss",
            random_state=seed,
            refit=False,
        ).fit(X, y)

    halve(_CALIBRATION)
    taken = time.perf_counter() - start
    count = max(_CALIBRATION, int(_CALIBRATION * _SECONDS / taken))
    start = time.perf_counter()
    found = halve(count)
    return dict(found.best_params_), count, time.perf_counter() - start


def _drawn(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """Draw candidates at random, by Optuna's own sampler of that kind."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [_suggest(study.ask(), space) for _ in range(count)]


def _suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for name, one in space.items():
        if isinstance(one, Choices):
            drawn[name] = trial.suggest_categorical(name, one.values)
        elif one.whole:
            drawn[name] = trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
        else:
            drawn[name] = trial.suggest_float(name, one.low, one.high, log=one.log)
    return drawn


def _optuna(
    X: NDArray[Any], y: NDArray[Any], space: Space, folds: Any, seed: int, start: float
) -> tuple[dict[str, Any], int, float]:
    """Optimise by Optuna's defaults, without pruning."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def value(trial: optuna.Trial) -> float:
        forest = RandomForestClassifier(**_suggest(trial, space), random_state=seed)
        scores = cross_val_score(forest, X, y, cv=folds, scoring="neg_log_loss")
        return float(scores.mean())

    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(value, timeout=_SECONDS)
    return dict(study.best_params), len(study.trials), time.perf_counter() - start


def main() -> int:
    """Print the table; with `--aside`, the figures of one search as JSON."""
    if sys.argv[1:2] == ["--aside"]:
        way, name, seed = sys.argv[2:5]
        sys.stdout.write(json.dumps(_search_here(way, name, int(seed))))
        return 0
    asked = command.parser("tools.bench.search_quality", __doc__).parse_args()

    def job(options: Options) -> int:
        sys.stdout.write(measure(options))
        return 0

    return command.run(asked, _MOST_SECONDS, job)


if __name__ == "__main__":
    sys.exit(main())
