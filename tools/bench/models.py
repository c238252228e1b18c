"""Models other than the forest: one row a request, and a thousand compared with scikit-learn."""

import io
import json
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from service.schema.train_request import TrainRequest
from service.worker.data.table import Table, built_in
from service.worker.learning.fitting import fit
from service.worker.learning.plan import plan
from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.catalogue import mixed
from tools.bench.client import BenchFailed, Client
from tools.bench.load import Load, Wrk, median, ratio, require_wrk
from tools.bench.many_rows import ROWS, seconds
from tools.bench.options import Options
from tools.bench.processes import pinned

_CONNECTIONS = (1, 32)
_WARMING = 50
_NUMBERS = {
    "LogisticRegression": "logistic regression",
    "RandomForestClassifier": "forest of 100 trees",
    "HistGradientBoostingClassifier": "histogram gradient boosting",
    "GradientBoostingClassifier": "gradient boosting",
    "SVC": "SVC",
    "KNeighborsClassifier": "nearest neighbours, native",
}
_MIXED = {"RandomForestClassifier": "forest of 100 trees"}
_WITH_PROBABILITIES = ("LogisticRegression", "RandomForestClassifier")


@dataclass(frozen=True, slots=True)
class _Data:
    """A data set of the service, with its rows for scikit-learn and for requests."""

    name: str
    title: str
    target: str
    table: Table
    frame: pd.DataFrame
    instances: list[dict[str, Any]]


@dataclass(slots=True)
class _Case:
    """A line of the table, with the figures of its rounds."""

    model: str
    title: str
    data: _Data
    probabilities: bool
    body: bytes
    loads: dict[int, list[Load]] = field(default_factory=lambda: {n: [] for n in _CONNECTIONS})
    limits: dict[int, list[Load]] = field(default_factory=lambda: {n: [] for n in _CONNECTIONS})
    rates: list[float] = field(default_factory=list)
    """Rows per second of the service, and below of scikit-learn, without probabilities."""
    others: list[float] = field(default_factory=list)


def measure(options: Options) -> str:
    """Put each model in use in turn, and load it alternating with the limit; return the table."""
    require_wrk()
    cores, folder = options.cores, options.folder("models")
    with ExitStack() as stack:
        service = stack.enter_context(processes.service(folder, cores.server))
        client = service.client()
        pipelines: dict[str, Any] = {}
        cases = [case for data in _all(client) for case in _train(client, data, pipelines)]
        _use(client, cases[0])
        reply = client.send("POST", "/predict", cases[0].body)
        limit = stack.enter_context(processes.limit(folder, cores.server, reply))
        for turn in range(options.rounds):
            for case in cases:
                tell(f"models: round {turn + 1} of {options.rounds}, {case.title}")
                _use(client, case)
                wrk = Wrk(folder, "row", case.body)
                for connections in _CONNECTIONS:
                    run = (connections, options.seconds, cores.client)
                    case.limits[connections].append(wrk.run(limit, *run))
                    case.loads[connections].append(wrk.run(service, *run))
                if not case.probabilities:
                    _many(client, case, pipelines[case.model], options)
    return _table(cases, options)


def _all(client: Client) -> Iterator[_Data]:
    """Return the data sets; the second one is uploaded."""
    rows, target = built_in("breast_cancer")
    yield _data("breast_cancer", "30 numbers", target, rows)
    rows = mixed()
    data = _data("mixed", "2 numbers, a text, a boolean", "level", rows)
    file = io.StringIO()
    frame = pd.DataFrame(data.instances)
    frame["vip"] = frame["vip"].map({True: "true", False: "false"})
    frame.assign(level=rows.columns["level"].values).to_csv(file, index=False)
    path = "/datasets?name=mixed&target=level"
    client.send("POST", path, file.getvalue().encode(), "text/csv")
    yield data


def _data(name: str, title: str, target: str, rows: Table) -> _Data:
    columns = {name: column for name, column in rows.columns.items() if name != target}
    cells = [[cell(value, column.type) for value in column.values] for column in columns.values()]
    instances = [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]
    return _Data(name, title, target, rows, rows.to_frame(list(columns)), instances)


def cell(value: Any, kind: str) -> Any:
    """Return a value of a column as it appears in a request."""
    if kind == "text":
        return value
    if math.isnan(value):
        return None
    return bool(value) if kind == "boolean" else float(value)


def _train(client: Client, data: _Data, pipelines: dict[str, Any]) -> Iterator[_Case]:
    """Train the models of a data set by the API and in this process; return their cases."""
    for kind, title in (_MIXED if data.name == "mixed" else _NUMBERS).items():
        model = f"{data.name}-{kind}"
        tell(f"models: {model} is trained")
        order = {"name": model, "model_type": kind, "refit": True}
        sent = {**order, "dataset": data.name, "use": False, "wait": 120}
        if (state := client.ask("POST", "/train", sent)["state"]) != "succeeded":
            raise BenchFailed(f"The training of {model} is {state}.")
        request = TrainRequest(name=model, model_type=kind, target=data.target, refit=True)
        pipelines[model] = fit(plan(data.table, request)).pipeline
        for probabilities in (False, True) if kind in _WITH_PROBABILITIES else (False,):
            value: dict[str, Any] = {"instances": data.instances[:1]}
            if probabilities:
                value["probabilities"] = True
            yield _Case(model, title, data, probabilities, json.dumps(value).encode())


def _use(client: Client, case: _Case) -> None:
    client.ask("POST", "/use-model", {"name": case.model})
    for _ in range(_WARMING):
        client.send("POST", "/predict", case.body)


def _many(client: Client, case: _Case, pipeline: Any, options: Options) -> None:
    """Time a thousand rows in one request and in scikit-learn's `predict`."""
    chosen = np.resize(np.arange(len(case.data.frame)), ROWS)
    frame = case.data.frame.iloc[chosen]
    instances = [case.data.instances[index] for index in chosen]
    body = json.dumps({"instances": instances}).encode()
    if json.loads(client.send("POST", "/predict", body))["predictions"] != list(
        pipeline.predict(frame)
    ):
        raise BenchFailed(f"{case.model}: another label than scikit-learn's.")

    def rate(way: Callable[[], object], core: int | None) -> float:
        with pinned(core):
            return ROWS / statistics.median(seconds(way))

    cores = options.cores
    case.others.append(rate(lambda: pipeline.predict(frame), cores.server))
    case.rates.append(rate(lambda: client.send("POST", "/predict", body), cores.client))


def _table(cases: list[_Case], options: Options) -> str:
    lines: list[list[object]] = []
    for case in cases:
        line: list[object] = [case.title, case.data.title, "yes" if case.probabilities else ""]
        one, crowd = (case.loads[connections] for connections in _CONNECTIONS)
        line += [median(one, lambda run: run.p50_ms), ratio(one, case.limits[_CONNECTIONS[0]])]
        line += [median(crowd, lambda run: run.per_second)]
        line += [ratio(crowd, case.limits[_CONNECTIONS[1]])]
        if case.rates:
            pairs = zip(case.rates, case.others, strict=True)
            line += [statistics.median(case.rates), statistics.median(a / b for a, b in pairs)]
        else:
            line += ["", ""]
        lines.append(line)
    note = (
        f"One row a request, medians of {options.rounds} rounds of {options.seconds} s beside the "
        f"limit, which gets the same requests; then {ROWS:,} rows in one request of objects, "
        "against `predict` of the same pipeline and table in process, on one thread. No request "
        "failed."
    )
    columns = ["model", "features", "probabilities", "1: p50 ms", "1: x limit"]
    columns += ["32: requests/s", "32: x limit", f"{ROWS:,} rows: rows/s", "x scikit-learn"]
    return table("Models", note, columns, lines)
