"""Load from `wrk`, and its figures."""

import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.bench.client import BenchFailed
from tools.bench.processes import Server, pinned

JSON = {"content-type": "application/json"}

_SCRIPT = """
wrk.method = "POST"
wrk.path = os.getenv("BENCH_PATH")
for name, value in string.gmatch(os.getenv("BENCH_HEADERS"), "([^:]+):([^;]+);") do
  wrk.headers[name] = value
end
wrk.body = io.open(os.getenv("BENCH_BODY"), "rb"):read("*a")
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nfigures {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""

_MOST_SETTLING_SECONDS = 10
_IDLE_SECONDS = 0.02
"""A server that uses less processor time than this in 0.1 s is idle."""


@dataclass(frozen=True, slots=True)
class Load:
    """The figures of one run of wrk; no request failed, except for allowed refusals."""

    per_second: float
    """Requests that were answered with success."""
    p50_ms: float
    p99_ms: float
    processor_us: float
    """Processor time per request, in all the server's processes: noise changes it little."""
    refused: float = 0.0
    """The share of requests that were answered with an error; their latencies count too."""


def median(runs: list[Load], figure: Callable[[Load], float]) -> float:
    """Return the median of a figure over the loads."""
    return statistics.median(map(figure, runs))


def ratio(runs: list[Load], others: list[Load]) -> float:
    """Return the median of the ratios by round, as the runs of a round see the same noise."""
    pairs = zip(runs, others, strict=True)
    return statistics.median(run.per_second / other.per_second for run, other in pairs)


def require_wrk() -> None:
    """Raise BenchFailed if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise BenchFailed("wrk is not installed; on Debian: apt-get install wrk")


class Wrk:
    """Posts one body to a path repeatedly, on keep-alive connections."""

    def __init__(
        self,
        folder: Path,
        name: str,
        body: bytes,
        path: str = "/predict",
        headers: Mapping[str, str] = JSON,
    ) -> None:
        self._path = path
        self._headers = "".join(f"{name}:{value};" for name, value in headers.items())
        self._script = folder / "predict.lua"
        self._script.write_text(_SCRIPT)
        self._body = folder / f"{name}.json"
        self._body.write_bytes(body)

    def run(
        self,
        server: Server,
        connections: int,
        seconds: int,
        core: int | None,
        may_refuse: bool = False,
    ) -> Load:
        """Load a server; raise BenchFailed if any request fails, or is refused and may not be."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["--latency", "-s", str(self._script), f"http://127.0.0.1:{server.port}"]
        used = server.processor_seconds()
        with pinned(core):
            ended = subprocess.run(
                command,
                env={
                    "BENCH_BODY": str(self._body),
                    "BENCH_PATH": self._path,
                    "BENCH_HEADERS": self._headers,
                },
                capture_output=True,
                text=True,
                timeout=seconds + 30,
                executable=shutil.which("wrk"),
            )
        used = server.processor_seconds() - used
        _settle(server)
        _, _, figures = ended.stdout.rpartition("figures ")
        if ended.returncode or not figures:
            raise BenchFailed(f"wrk failed: {ended.stderr or ended.stdout}")
        found = json.loads(figures)
        return read_counts(self._body.stem, found, used, may_refuse)


def _settle(server: Server) -> None:
    """Wait up to a limit until requests left by wrk are answered, so that the core is free."""
    deadline = time.monotonic() + _MOST_SETTLING_SECONDS
    before = server.processor_seconds()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if (now := server.processor_seconds()) - before < _IDLE_SECONDS:
            return
        before = now


def read_counts(name: str, found: Mapping[str, int], used: float, may_refuse: bool) -> Load:
    """Return the figures from wrk's counts and the server's processor seconds."""
    failed = found["errors"] + (0 if may_refuse else found["refused"])
    answered = found["requests"] - found["refused"]
    if failed:
        raise BenchFailed(f"{name}: {failed} of {found['requests']} requests failed.")
    if answered < 1:
        raise BenchFailed(f"{name}: no request was answered in {found['us'] / 1e6:.1f} s.")
    return Load(
        per_second=answered / found["us"] * 1e6,
        p50_ms=found["p50_us"] / 1e3,
        p99_ms=found["p99_us"] / 1e3,
        processor_us=used / answered * 1e6,
        refused=found["refused"] / found["requests"],
    )
