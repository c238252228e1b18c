"""Loads several services in turn, each set up in another way, so that all see the same noise."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.support.tables import tell
from tools.bench import processes
from tools.bench.client import Client
from tools.bench.forest import Forest, train
from tools.bench.load import Load, Wrk
from tools.bench.options import Options

CONNECTIONS = 32


def _nothing(_: Client) -> None:
    """Change nothing once the forest is in use."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a service differs from the others."""

    settings: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Client], None] = _nothing
    """Called once the forest is in use, before any load."""
    finish: Callable[[Client], None] = _nothing
    """Called after the last load."""


def load_in_turn(
    part: str, forest: Forest, setups: Mapping[str, Setup], options: Options
) -> dict[str, list[Load]]:
    """Ask each service for one row, repeatedly, at 32 connections; return the loads by name.

    Raises BenchFailed if a request fails.
    """
    body = json.dumps({"instances": forest.named(forest.X[:1])}).encode()
    cores = options.cores
    loads: dict[str, list[Load]] = {name: [] for name in setups}
    with ExitStack() as stack:
        servers, clients = {}, {}
        for number, (name, setup) in enumerate(setups.items()):
            folder = options.folder(f"{part}-{number}")
            server = processes.service(folder, cores.server, **setup.settings)
            servers[name] = stack.enter_context(server)
            train(servers[name].client(), forest)
            setup.prepare(servers[name].client())
            clients[name] = Wrk(folder, str(number), body)
            clients[name].run(servers[name], CONNECTIONS, 1, cores.client)
        for turn in range(options.rounds):
            tell(f"{part}: round {turn + 1} of {options.rounds}")
            # The other way round in every second round, so that none always follows the same one.
            for name in list(setups)[:: 1 if turn % 2 else -1]:
                run = clients[name].run(servers[name], CONNECTIONS, options.seconds, cores.client)
                loads[name].append(run)
        for name, setup in setups.items():
            setup.finish(servers[name].client())
    return loads
