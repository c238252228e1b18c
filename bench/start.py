"""How long a start on an existing data folder takes, and the memory of what serves."""

import json
import statistics
import time

from bench import processes
from bench.forest import load, train
from bench.load import Wrk, require_wrk
from bench.options import Options
from bench.processes import Server, wait_for
from bench.tables import table, tell


def measure(options: Options) -> str:
    """Start the service and the tutorial's handler in turn; give the table."""
    require_wrk()
    forest, cores, folder = load(), options.cores, options.folder("start")
    row = forest.named(forest.X[:1])[0]
    loads = {
        "service": Wrk(folder, "service", json.dumps({"instances": [row]}).encode()),
        "handler": Wrk(folder, "handler", json.dumps(row).encode()),
    }
    starts = {"service": processes.service, "handler": processes.handler}
    with processes.service(folder, cores.server) as server:
        train(server.client(), forest)
        children = server.children_mb()
    seconds: dict[str, list[float]] = {name: [] for name in starts}
    memory: dict[str, list[float]] = {name: [] for name in starts}
    for turn in range(options.rounds):
        tell(f"start: round {turn + 1} of {options.rounds}")
        for name, start in starts.items():
            with start(folder, cores.server) as server:
                seconds[name].append(_until_ready(server))
                loads[name].run(server, 32, 1, cores.client)
                memory[name].append(server.resident_mb())
    rows: list[list[object]] = []
    for name in starts:
        own, other_own = statistics.median(memory[name]), statistics.median(memory["handler"])
        taken, other = statistics.median(seconds[name]), statistics.median(seconds["handler"])
        ours = name == "service"
        rows.append([name, taken, taken / other, "<= 5 s" if ours else "", own, own / other_own])
        rows[-1] += ["< 250 MB" if ours else "", children if ours else ""]
    note = (
        "From the start of the process on an existing data folder to `/readyz` 200; resident "
        "memory after a second of 32 connections. Children: what waits to train, after the first, "
        "until it has had nothing to do for a while. "
        f"Medians of {options.rounds} starts."
    )
    columns = ["server", "ready s", "x handler", "goal", "MB", "x handler", "goal", "children MB"]
    return table("Start and memory", note, columns, rows)


def _until_ready(server: Server) -> float:
    client = server.client()
    wait_for(lambda: client.is_ready("/readyz"), 60, "a server does not become ready")
    client.close()
    return time.perf_counter() - server.start
