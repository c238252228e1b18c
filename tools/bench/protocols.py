"""The same rows in each protocol: one row under load, and thousands in one request."""

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.client import BenchFailed, Client
from tools.bench.forest import Forest, load, train
from tools.bench.load import JSON, Load, Wrk, median, ratio, require_wrk
from tools.bench.many_rows import seconds
from tools.bench.options import Options

_CONNECTIONS = (1, 32)
_ARRAYS = "/predict, arrays"
_GOALS = {"V2, binary": ">= 0.9"}
_REQUESTS = {1000: 50, 10_000: 20}
_SCIKIT_LEARN = "scikit-learn, array"

_HEAD_BYTES = "Inference-Header-Content-Length"
INFER = "/v2/models/forest/infer"


@dataclass(frozen=True, slots=True)
class Message:
    """A request in one protocol."""

    path: str
    body: bytes
    headers: Mapping[str, str]


def messages(forest: Forest, rows: NDArray[np.float64]) -> dict[str, Message]:
    """Return the same rows in each protocol, all of them asking for labels alone."""
    tensor = {"name": "input-0", "shape": list(rows.shape), "datatype": "FP64"}
    values = rows.tolist()
    flat = rows.ravel().tolist()
    size = {"parameters": {"binary_data_size": rows.nbytes}}
    frame = {"dataframe_split": {"columns": forest.names, "data": values}}
    return {
        _ARRAYS: Message("/predict", _dumped({"instances": values}), JSON),
        "V2, JSON": Message(INFER, _dumped({"inputs": [{**tensor, "data": flat}]}), JSON),
        "V2, binary": _binary({"inputs": [{**tensor, **size}]}, rows),
        "V2, binary both ways": _binary(
            {"inputs": [{**tensor, **size}], "parameters": {"binary_data_output": True}}, rows
        ),
        "/invocations, split": Message("/invocations", _dumped(frame), JSON),
    }


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def _binary(head: object, rows: NDArray[np.float64]) -> Message:
    text = _dumped(head)
    headers = {"content-type": "application/octet-stream", _HEAD_BYTES: str(len(text))}
    return Message(INFER, text + np.ascontiguousarray(rows, "<f8").tobytes(), headers)


def measure(options: Options) -> str:
    """Load the service in each protocol, in turn; return the tables."""
    require_wrk()
    return _one_row(options) + _many_rows(options)


def _one_row(options: Options) -> str:
    forest, cores, folder = load(), options.cores, options.folder("protocols")
    loads: dict[tuple[str, int], list[Load]] = {}
    sent = messages(forest, forest.X[:1])
    with processes.service(folder, cores.server) as service:
        train(service.client(), forest)
        _require_label(service.client(), forest, sent)
        clients = {
            name: Wrk(folder, f"row-{number}", message.body, message.path, message.headers)
            for number, (name, message) in enumerate(sent.items())
        }
        for wrk in clients.values():
            wrk.run(service, 8, 1, cores.client)
        for turn in range(options.rounds):
            tell(f"protocols: round {turn + 1} of {options.rounds}")
            for count in _CONNECTIONS:
                for name, wrk in clients.items():
                    found = wrk.run(service, count, options.seconds, cores.client)
                    loads.setdefault((name, count), []).append(found)
    lines = [
        [
            count,
            name,
            median(runs, lambda run: run.per_second),
            median(runs, lambda run: run.p50_ms),
            median(runs, lambda run: run.processor_us),
            ratio(runs, loads[_ARRAYS, count]),
            _GOALS.get(name, "") if count == 32 else "",
        ]
        for (name, count), runs in loads.items()
    ]
    note = (
        f"One row of 30 numbers for a forest of 100 trees; medians of {options.rounds} rounds of "
        f"{options.seconds} s; the service on one core, wrk on another. No request failed."
    )
    columns = ["connections", "protocol", "requests/s", "p50 ms", "core us", "x arrays", "goal"]
    return table("One row in each protocol", note, columns, lines)


def _require_label(client: Client, forest: Forest, sent: Mapping[str, Message]) -> None:
    label = str(forest.classifier.predict(forest.X[:1])[0]).encode()
    for name, message in sent.items():
        if label not in _ask(client, message):
            raise BenchFailed(f"{name}: another label than scikit-learn's.")


def _ask(client: Client, message: Message) -> bytes:
    headers = {key: value for key, value in message.headers.items() if key == _HEAD_BYTES}
    kind = message.headers["content-type"]
    return client.send("POST", message.path, message.body, kind, **headers)


def _many_rows(options: Options) -> str:
    forest, folder = load(), options.folder("protocols-many")
    lines: list[list[object]] = []
    # On all cores, as the service runs; 10,000 rows as arrays exceed the default limit of a body.
    with processes.service(folder, None, max_body_bytes=str(16 * 2**20)) as service:
        client = service.client()
        train(client, forest)
        for count in _REQUESTS:
            lines += _rates(client, forest, count, options.rounds)
    counts = " and ".join(map(str, _REQUESTS.values()))
    note = (
        "Rows of the same forest in one request, one request after another; the service on all "
        f"cores, scikit-learn in process, on one thread; medians of {options.rounds} rounds of "
        f"{counts} requests."
    )
    columns = ["rows", "protocol", "bytes", "rows/s", "ms", "x arrays", "x scikit-learn", "goal"]
    return table("Many rows in each protocol", note, columns, lines)


def _rates(client: Client, forest: Forest, count: int, rounds: int) -> list[list[object]]:
    X = forest.rows(count)
    sent = messages(forest, X)
    expected = forest.classifier.predict(X).tolist()
    answered = json.loads(_ask(client, sent["V2, binary"]))["outputs"][0]["data"]
    if answered != expected:
        raise BenchFailed("V2, binary: another label than scikit-learn's.")

    def ask(message: Message) -> Callable[[], object]:
        return lambda: _ask(client, message)

    ways: dict[str, Callable[[], object]] = {_SCIKIT_LEARN: lambda: forest.classifier.predict(X)}
    ways |= {name: ask(message) for name, message in sent.items()}
    figures: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        tell(f"protocols: {count:,} rows, round {turn + 1} of {rounds}")
        for name, way in ways.items():
            figures[name].append(count / statistics.median(seconds(way, _REQUESTS[count])))
    lines: list[list[object]] = []
    for name, rates in figures.items():
        middle = statistics.median(rates)
        size = f"{len(sent[name].body):,}" if name in sent else ""
        ratios = [_ratio(rates, figures[base]) for base in (_ARRAYS, _SCIKIT_LEARN)]
        goal = ""
        if name == "V2, binary":
            goal = ">= 2 x arrays" if count == 1000 else ">= 1 x scikit-learn"
        lines.append([f"{count:,}", name, size, middle, 1e3 * count / middle, *ratios, goal])
    return lines


def _ratio(rates: list[float], others: list[float]) -> float:
    return statistics.median(rate / other for rate, other in zip(rates, others, strict=True))
