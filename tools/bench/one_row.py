"""One row a request: the service compared with the limit and with a tutorial's handler."""

import json
from collections.abc import Sequence
from contextlib import ExitStack

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.client import BenchFailed
from tools.bench.forest import load, train
from tools.bench.load import Load, Wrk, median, ratio, require_wrk
from tools.bench.options import Options
from tools.bench.processes import Server

CONNECTIONS = (1, 8, 32, 64)
_SERVERS = ("limit", "service", "ordinary", "handler")
_GOALS = {("service", 32): (">= 1.6", ">= 60")}


Loads = dict[tuple[str, int], list[Load]]
"""By server and connections."""


def measure(options: Options) -> str:
    """Load the servers in turn, at 1, 8, 32 and 64 connections; return the table."""
    loads = load_in_turn(options, CONNECTIONS, _SERVERS)
    note = (
        f"A forest of 100 trees, 30 named numbers, a row a request; medians of {options.rounds} "
        f"rounds of {options.seconds} s. Limit: a bare ASGI application that gives the same bytes. "
        "Ordinary: the service with SERVICE_SHORT_WAY=false. Handler: FastAPI, pydantic, pandas "
        "and scikit-learn. Core: what a request takes of the server's core. No request failed."
    )
    columns = ["connections", "server", "requests/s", "p50 ms", "p99 ms", "core us"]
    columns += ["x limit", "goal", "x handler", "goal"]
    return table("One row", note, columns, _rows(loads))


def load_in_turn(options: Options, connections: Sequence[int], names: Sequence[str]) -> Loads:
    """Check that the servers' labels are scikit-learn's, then load the servers in turn."""
    require_wrk()
    forest, cores, folder = load(), options.cores, options.folder("one-row")
    row = forest.named(forest.X[:1])[0]
    label = forest.classifier.predict(forest.X[:1])[0]
    body = json.dumps({"instances": [row]}).encode()
    with ExitStack() as stack:
        service = stack.enter_context(processes.service(folder, cores.server))
        ordinary = options.folder("ordinary-way")
        slower = stack.enter_context(processes.service(ordinary, cores.server, short_way="false"))
        handler = stack.enter_context(processes.handler(folder, cores.server))
        train(service.client(), forest)
        train(slower.client(), forest)
        reply = service.client().send("POST", "/predict", body)
        answers = {
            "service": json.loads(reply)["predictions"],
            "ordinary": slower.client().ask("POST", "/predict", json.loads(body))["predictions"],
            "handler": [handler.client().ask("POST", "/predict", row)["prediction"]],
        }
        for name, answer in answers.items():
            if answer != [label]:
                raise BenchFailed(f"The {name} answers {answer}, scikit-learn [{label!r}].")
        limit = stack.enter_context(processes.limit(folder, cores.server, reply))
        servers = {"limit": limit, "service": service, "ordinary": slower, "handler": handler}
        bodies = dict.fromkeys(_SERVERS, body) | {"handler": json.dumps(row).encode()}
        clients = {name: Wrk(folder, name, bodies[name]) for name in names}
        return _load(servers, clients, connections, options)


def _load(
    servers: dict[str, Server],
    clients: dict[str, Wrk],
    connections: Sequence[int],
    options: Options,
) -> Loads:
    """Load the servers in turn, so that all see the same noise."""
    core = options.cores.client
    for name, wrk in clients.items():
        wrk.run(servers[name], 8, 1, core)
    loads: Loads = {}
    for turn in range(options.rounds):
        tell(f"one row: round {turn + 1} of {options.rounds}")
        for count in connections:
            for name, wrk in clients.items():
                found = wrk.run(servers[name], count, options.seconds, core)
                loads.setdefault((name, count), []).append(found)
    return loads


def _rows(loads: Loads) -> list[list[object]]:
    rows: list[list[object]] = []
    for connections in CONNECTIONS:
        for name in _SERVERS:
            runs = loads[name, connections]
            goals = _GOALS.get((name, connections), ("", ""))
            ratios = [ratio(runs, loads[other, connections]) for other in ("limit", "handler")]
            rows.append(
                [
                    connections,
                    name,
                    median(runs, lambda run: run.per_second),
                    median(runs, lambda run: run.p50_ms),
                    median(runs, lambda run: run.p99_ms),
                    median(runs, lambda run: run.processor_us),
                    ratios[0],
                    goals[0],
                    ratios[1],
                    goals[1],
                ]
            )
    return rows
