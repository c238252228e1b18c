"""Rows over gRPC: `python -m tools.bench.grpc_calls`. One core serves, and one asks.

The client is written in Python, too, and takes about as long as the server: what a call takes of
the server's core is the figure to compare.
"""

import asyncio
import statistics
import sys
from time import perf_counter
from typing import Any

import grpc

from service.grpc.messages import message
from tests.support.ports import free_port
from tests.support.tables import table, write
from tools.bench import command, processes
from tools.bench.client import BenchFailed
from tools.bench.forest import Forest, load, train
from tools.bench.options import Options

_CALLERS = (1, 8, 32)
_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_MOST_SECONDS = 300
_WARM_SECONDS = 0.3


def measure(options: Options) -> str:
    """Call the service from 1, 8 and 32 callers on one connection; return the table."""
    forest, cores, port = load(), options.cores, free_port()
    folder = options.folder("grpc")
    with processes.service(folder, cores.server, grpc_port=str(port)) as server:
        train(server.client(), forest)
        name = str(server.client().ask("GET", "/use-model")["name"])
        request = _request(forest, name)
        with processes.pinned(cores.client):
            figures = asyncio.run(_rounds(options, server, port, request, _label(forest)))
    note = (
        "A forest of 100 trees, a row of 30 FP64 in raw_input_contents a call, all callers on one "
        f"connection; medians of {options.rounds} rounds of {options.seconds} s. Core: what a call "
        "takes of the server's core. No call failed."
    )
    rows = []
    for callers, found in figures.items():
        per_second, core_us = (statistics.median(column) for column in zip(*found, strict=True))
        rows.append([callers, f"{per_second:,.0f}", f"{core_us:.0f}"])
    return table("Rows over gRPC", note, ["callers", "calls/s", "core us"], rows)


def _request(forest: Forest, name: str) -> bytes:
    row = forest.X[:1].astype("<f8")
    request = message("ModelInferRequest")(model_name=name, raw_input_contents=[row.tobytes()])
    request.inputs.add(name="x", datatype="FP64", shape=row.shape)
    return bytes(request.SerializeToString())


def _label(forest: Forest) -> bytes:
    label = str(forest.classifier.predict(forest.X[:1])[0]).encode()
    return len(label).to_bytes(4, "little") + label


async def _rounds(
    options: Options, server: processes.Server, port: int, request: bytes, label: bytes
) -> dict[int, list[tuple[float, float]]]:
    """Return the calls a second and the microseconds of the server's core, by callers."""
    figures: dict[int, list[tuple[float, float]]] = {callers: [] for callers in _CALLERS}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(_METHOD)
        reply = message("ModelInferResponse").FromString(await call(request))
        if list(reply.raw_output_contents) != [label]:
            raise BenchFailed(f"The service answers {reply}, scikit-learn {label!r}.")
        for _ in range(options.rounds):
            for callers in _CALLERS:
                await _load(call, request, callers, _WARM_SECONDS)
                used = server.processor_seconds()
                per_second, calls = await _load(call, request, callers, options.seconds)
                used = server.processor_seconds() - used
                figures[callers].append((per_second, 1e6 * used / calls))
    return figures


async def _load(call: Any, request: bytes, callers: int, seconds: float) -> tuple[float, int]:
    """Return the calls a second, and the number of calls."""
    calls = 0
    start = perf_counter()

    async def ask() -> None:
        nonlocal calls
        while perf_counter() - start < seconds:
            await call(request)
            calls += 1

    await asyncio.gather(*(ask() for _ in range(callers)))
    return calls / (perf_counter() - start), calls


def main() -> int:
    """Print the table; return 1 if it cannot be measured."""
    parser = command.parser("tools.bench.grpc_calls", __doc__)

    def job(options: Options) -> int:
        write(measure(options))
        return 0

    return command.run(parser.parse_args(), _MOST_SECONDS, job)


if __name__ == "__main__":
    sys.exit(main())
