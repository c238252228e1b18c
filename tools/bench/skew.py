"""What counting the answered rows costs a prediction: the service with and without it, in turn."""

import statistics

from tests.support.tables import table
from tools.bench.forest import load
from tools.bench.in_turn import CONNECTIONS, Setup, load_in_turn
from tools.bench.load import Load, median, ratio, require_wrk
from tools.bench.options import Options

_GOAL = ">= 0.97"
_SETUPS = {
    "nothing counted": Setup({"skew_rows_per_second": "0"}),
    "counted": Setup({"skew_rows_per_second": "5000"}),
}


def measure(options: Options) -> str:
    """Load both in turn at 32 connections; return the table."""
    require_wrk()
    loads = load_in_turn("skew", load(), _SETUPS, options)
    note = (
        f"A forest of 100 trees, 30 named numbers, a row a request, {CONNECTIONS} connections; "
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
