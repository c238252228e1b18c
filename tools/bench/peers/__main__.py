"""Measures the service and, in the same run, MLServer, BentoML and `mlflow models serve`."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support.tables import table, tell, write
from tools.bench import command, processes
from tools.bench.client import BenchFailed
from tools.bench.forest import Forest, load, train
from tools.bench.load import Load, Wrk, median, ratio, require_wrk
from tools.bench.options import Options
from tools.bench.peers.servers import ARRAYS, PEERS, SCORING, SERVICE, V2, Api, versions
from tools.bench.processes import Server

_CONNECTIONS = (1, 8, 32)
_SIZES = (1, 1000)
"""Rows per request."""
_MOST_SECONDS = 600

_IN_V2, _IN_SCORING = "service, V2", "service, scoring"
_SAME = {"MLServer": _IN_V2, "MLServer, batching": _IN_V2, "mlflow": _IN_SCORING}
"""The service asked in the protocol of a peer."""

Loads = dict[tuple[int, int, str], list[Load]]
"""By rows per request, connections and server."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A server and the body that is posted to it."""

    server: Server
    wrk: Wrk


def measure(options: Options) -> str:
    """Load all servers in turn, with 1 and 1,000 rows a request; return the tables."""
    require_wrk()
    forest, core, folder = load(), options.cores.server, options.folder("peers")
    cases: dict[tuple[int, str], _Case] = {}
    with ExitStack() as stack:
        service = stack.enter_context(processes.service(folder, core))
        train(service.client(), forest)
        servers = {
            "service": (service, SERVICE),
            "service, arrays": (service, ARRAYS),
            _IN_V2: (service, V2),
            _IN_SCORING: (service, SCORING),
        }
        for peer in PEERS:
            tell(f"peers: {peer.name} starts")
            servers[peer.name] = (stack.enter_context(peer.running(folder, core)), peer.api)
        for size in _SIZES:
            rows = np.resize(forest.X, (size, forest.X.shape[1]))
            body = json.dumps(SERVICE.body(forest, rows)).encode()
            reply = service.client().send("POST", SERVICE.path, body)
            logs = options.folder(f"limit-{size}")
            limit = stack.enter_context(processes.limit(logs, core, reply))
            cases[size, "limit"] = _Case(limit, Wrk(folder, f"limit-{size}", body))
            for name, (server, api) in servers.items():
                _require_labels(name, server, api, forest, size)
                sent = json.dumps(api.body(forest, rows)).encode()
                cases[size, name] = _Case(server, Wrk(folder, f"{name}-{size}", sent, api.path))
        loads = _load(cases, options)
    return "\n".join(_table(loads, size, options) for size in _SIZES)


def _require_labels(name: str, server: Server, api: Api, forest: Forest, size: int) -> None:
    """Raise BenchFailed unless each of 32 concurrent requests gets its own labels."""
    every = np.resize(forest.X, (max(size, len(forest.X)), forest.X.shape[1]))
    cuts = range(size, len(every), size)
    labels = np.split(forest.classifier.predict(every), cuts)

    def differ(rows: NDArray[np.float64], wanted: NDArray[np.object_]) -> int:
        client = server.client()
        found = api.labels(client.ask("POST", api.path, api.body(forest, rows)))
        client.close()
        return len(wanted) if len(found) != len(wanted) else int((wanted != found).sum())

    with ThreadPoolExecutor(max(_CONNECTIONS)) as pool:
        different = sum(pool.map(differ, np.split(every, cuts), labels))
    if different:
        raise BenchFailed(f"{name}: {different} of {len(every)} labels are not scikit-learn's.")


def _load(cases: dict[tuple[int, str], _Case], options: Options) -> Loads:
    """Load the servers in turn, so that all see the same noise."""
    core = options.cores.client
    for case in cases.values():
        case.wrk.run(case.server, 8, 1, core, may_refuse=True)
    loads: Loads = {}
    for turn in range(options.rounds):
        tell(f"peers: round {turn + 1} of {options.rounds}")
        for connections in _CONNECTIONS:
            for (size, name), case in cases.items():
                found = case.wrk.run(
                    case.server, connections, options.seconds, core, may_refuse=size > 1
                )
                loads.setdefault((size, connections, name), []).append(found)
    return loads


def _table(loads: Loads, size: int, options: Options) -> str:
    lines: list[list[object]] = []
    for (rows, connections, name), runs in loads.items():
        if rows == size:
            lines.append(
                [
                    connections,
                    name,
                    median(runs, lambda run: run.per_second * size),
                    median(runs, lambda run: run.p50_ms),
                    median(runs, lambda run: run.p99_ms),
                    median(runs, lambda run: run.processor_us),
                    f"{100 * median(runs, lambda run: run.refused):.0f} %",
                    ratio(runs, loads[size, connections, "limit"]),
                    ratio(loads[size, connections, "service"], runs),
                    ratio(loads[size, connections, _SAME[name]], runs) if name in _SAME else "",
                ]
            )
    names = ", ".join(f"{name} {version}" for name, version in versions().items())
    note = (
        f"The same forest of 100 trees, {size:,} of its rows a request, each server on one core; "
        f"medians of {options.rounds} rounds of {options.seconds} s. {names}. Every label was "
        "compared with scikit-learn's, 32 requests at a time. Core us: what a request takes of the "
        "server's core. Service x: the service's rows/s by those of this server; same x: the same "
        "with the service asked in this server's protocol. Refused: the service answers 503 to a "
        "request that would wait 0.1 s; that counts in p50 and p99, and not in rows/s."
    )
    columns = [
        "connections",
        "server",
        "rows/s",
        "p50 ms",
        "p99 ms",
        "core us",
        "refused",
    ]
    heading = "One row beside peers" if size == 1 else f"{size:,} rows beside peers"
    return table(heading, note, [*columns, "x limit", "service x", "same x"], lines)


def main() -> int:
    """Print the tables; return 1 if something cannot be measured."""
    asked = command.parser("tools.bench.peers", __doc__).parse_args()

    def job(options: Options) -> int:
        write(measure(options))
        return 0

    return command.run(asked, _MOST_SECONDS, job)


if __name__ == "__main__":
    sys.exit(main())
