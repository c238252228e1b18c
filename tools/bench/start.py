"""Measures the start on an existing data folder, and the memory of the serving processes."""

import json
import statistics
import time
from dataclasses import dataclass

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.forest import load, train
from tools.bench.load import Wrk, require_wrk
from tools.bench.options import Options
from tools.bench.processes import Server, wait_for

_SECONDS = 2
"""The handler's first request may take most of a second if other work has the core."""


@dataclass(frozen=True, slots=True)
class Starts:
    """The duration of each start by server, and the memory after a little load."""

    seconds: dict[str, list[float]]
    memory_mb: dict[str, list[float]]
    children_mb: float


def measure(options: Options) -> str:
    """Start the service and the tutorial's handler in turn; return the table."""
    found = starts(options)
    rows: list[list[object]] = []
    for name in found.seconds:
        taken, own = median_of(found.seconds, name), median_of(found.memory_mb, name)
        ours = name == "service"
        rows.append([name, taken, taken / median_of(found.seconds, "handler")])
        rows[-1] += ["<= 5 s" if ours else "", own, own / median_of(found.memory_mb, "handler")]
        rows[-1] += ["< 250 MB" if ours else "", found.children_mb if ours else ""]
    note = (
        "From the start of the process on an existing data folder to `/readyz` 200; resident "
        f"memory after {_SECONDS} s of 32 connections. Children: what waits to train, after the "
        f"first, until it has had nothing to do for a while. Medians of {options.rounds} starts."
    )
    columns = ["server", "ready s", "x handler", "goal", "MB", "x handler", "goal", "children MB"]
    return table("Start and memory", note, columns, rows)


def median_of(figures: dict[str, list[float]], name: str) -> float:
    """Return the median of a server's figures."""
    return statistics.median(figures[name])


def starts(options: Options) -> Starts:
    """Start the service and the tutorial's handler in turn."""
    require_wrk()
    forest, cores, folder = load(), options.cores, options.folder("start")
    row = forest.named(forest.X[:1])[0]
    loads = {
        "service": Wrk(folder, "service", json.dumps({"instances": [row]}).encode()),
        "handler": Wrk(folder, "handler", json.dumps(row).encode()),
    }
    servers = {"service": processes.service, "handler": processes.handler}
    with processes.service(folder, cores.server) as server:
        train(server.client(), forest)
        children = server.children_mb()
    seconds: dict[str, list[float]] = {name: [] for name in servers}
    memory: dict[str, list[float]] = {name: [] for name in servers}
    for turn in range(options.rounds):
        tell(f"start: round {turn + 1} of {options.rounds}")
        for name, start in servers.items():
            with start(folder, cores.server) as server:
                seconds[name].append(_until_ready(server))
                loads[name].run(server, 32, _SECONDS, cores.client)
                memory[name].append(server.resident_mb())
    return Starts(seconds, memory, children)


def _until_ready(server: Server) -> float:
    client = server.client()
    wait_for(lambda: client.is_ready("/readyz"), 60, "a server does not become ready")
    client.close()
    return time.perf_counter() - server.start
