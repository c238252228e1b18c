"""What counting the answered rows costs a prediction: the service with and without it, in turn."""

import json
import statistics
from contextlib import ExitStack

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.forest import load, train
from tools.bench.load import Load, Wrk, median, ratio, require_wrk
from tools.bench.options import Options

_CONNECTIONS = 32
_GOAL = ">= 0.97"
_SERVERS = {"nothing counted": "0", "counted": "5000"}


def measure(options: Options) -> str:
    """Load both in turn at 32 connections; return the table."""
    require_wrk()
    forest, cores = load(), options.cores
    row = forest.named(forest.X[:1])[0]
    body = json.dumps({"instances": [row]}).encode()
    loads: dict[str, list[Load]] = {name: [] for name in _SERVERS}
    with ExitStack() as stack:
        servers, clients = {}, {}
        for number, (name, rows) in enumerate(_SERVERS.items()):
            folder = options.folder(f"skew-{number}")
            server = processes.service(folder, cores.server, skew_rows_per_second=rows)
            servers[name] = stack.enter_context(server)
            train(servers[name].client(), forest)
            clients[name] = Wrk(folder, str(number), body)
            clients[name].run(servers[name], _CONNECTIONS, 1, cores.client)
        for turn in range(options.rounds):
            tell(f"skew: round {turn + 1} of {options.rounds}")
            # The other one first in every second round, so that neither always follows.
            for name in list(_SERVERS)[:: 1 if turn % 2 else -1]:
                run = clients[name].run(servers[name], _CONNECTIONS, options.seconds, cores.client)
                loads[name].append(run)
    note = (
        f"A forest of 100 trees, 30 named numbers, a row a request, {_CONNECTIONS} connections; "
        f"medians of {options.rounds} rounds of {options.seconds} s. Core: what a request takes "
        "of the server's core. No request failed."
    )
    return table("Skew", note, ["", "requests/s", "p99 ms", "core us", "x", "goal"], _rows(loads))


def _rows(loads: dict[str, list[Load]]) -> list[list[object]]:
    plain, counted = loads.values()
    cores = zip(plain, counted, strict=True)
    by_core = statistics.median(one.processor_us / other.processor_us for one, other in cores)
    rows: list[list[object]] = [
        [
            name,
            median(runs, lambda run: run.per_second),
            median(runs, lambda run: run.p99_ms),
            median(runs, lambda run: run.processor_us),
            ratio(runs, plain) if runs is counted else "",
            _GOAL if runs is counted else "",
        ]
        for name, runs in loads.items()
    ]
    return [*rows, ["by core time", "", "", "", by_core, _GOAL]]
