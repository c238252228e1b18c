"""What a second version costs those who are answered: none, a shadow and a split, in turn."""

import statistics
from collections.abc import Callable
from typing import Any

from tests.support.tables import table
from tools.bench.client import BenchFailed, Client
from tools.bench.forest import SEED, Forest, load, order
from tools.bench.in_turn import CONNECTIONS, Setup, load_in_turn
from tools.bench.load import Load, median, ratio, require_wrk
from tools.bench.options import Options

_NONE, _SHADOW, _SPLIT = "no second version", "shadow of 100 %", "split of 50 %"
_GOALS = {_SHADOW: ">= 0.8; p99 <= 1.1 x"}


def measure(options: Options) -> str:
    """Load all three in turn at 32 connections; return the table."""
    require_wrk()
    forest = load()
    told: dict[str, Any] = {}
    setups = {
        _NONE: Setup(),
        _SHADOW: Setup(prepare=_beside(forest, "shadow", 100), finish=_tell(told, _SHADOW)),
        _SPLIT: Setup(prepare=_beside(forest, "split", 50), finish=_tell(told, _SPLIT)),
    }
    loads = load_in_turn("traffic", forest, setups, options)
    note = (
        "A forest of 100 trees, beside it another that only its seed tells from it; 30 named "
        f"numbers, a row a request, {CONNECTIONS} connections; medians of {options.rounds} rounds "
        f"of {options.seconds} s, ratios by round. Core: what a request takes of the server's "
        "core. Compared and shed: rows that both versions answered, and those for which there was "
        "no time, of those that were counted for skew. No request failed."
    )
    head = ["", "requests/s", "x", "p99 ms", "p99 x", "core us", "compared", "shed", "goal"]
    return table("A second version", note, head, _rows(loads, told))


def _beside(forest: Forest, mode: str, percent: int) -> Callable[[Client], None]:
    """Return what trains a second forest and puts it beside the one in use."""

    def prepare(client: Client) -> None:
        second = client.ask("POST", "/train", order(forest, SEED + 1, use=False))
        body = {
            "name": "forest",
            "version": second["version"],
            "mode": mode,
            "percent": percent,
        }
        client.ask("PUT", "/traffic", body)

    return prepare


def _tell(told: dict[str, Any], name: str) -> Callable[[Client], None]:
    """Return what keeps the counts of the comparison, and raises BenchFailed for errors in it."""

    def finish(client: Client) -> None:
        compared = client.ask("GET", "/traffic")["traffic"]
        if compared["errors"]:
            raise BenchFailed(f"{name}: {compared['errors']} rows met an error.")
        told[name] = compared

    return finish


def _rows(loads: dict[str, list[Load]], told: dict[str, Any]) -> list[list[object]]:
    alone = loads[_NONE]
    rows: list[list[object]] = []
    for name, runs in loads.items():
        by_p99 = statistics.median(
            one.p99_ms / other.p99_ms for one, other in zip(runs, alone, strict=True)
        )
        others = runs is not alone
        rows.append(
            [
                name,
                median(runs, lambda run: run.per_second),
                ratio(runs, alone) if others else "",
                median(runs, lambda run: run.p99_ms),
                by_p99 if others else "",
                median(runs, lambda run: run.processor_us),
                told[name]["rows"] if others else "",
                told[name]["shed"] if others else "",
                _GOALS.get(name, ""),
            ]
        )
    return rows
