"""Load by `wrk`, and its figures."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.client import BenchFailed
from bench.processes import Server, pinned

_SCRIPT = """
wrk.method = "POST"
wrk.path = "/predict"
wrk.headers["content-type"] = "application/json"
wrk.body = io.open(os.getenv("BENCH_BODY"), "rb"):read("*a")
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nfigures {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status + e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk found; no request failed."""

    per_second: float
    p50_ms: float
    p99_ms: float
    processor_us: float
    """What a request takes of the server's core: other work on the machine changes it little."""


def require_wrk() -> None:
    """Raise BenchFailed where wrk is not installed."""
    if shutil.which("wrk") is None:
        raise BenchFailed("wrk is not installed; on Debian: apt-get install wrk")


class Wrk:
    """Posts one body to `/predict` again and again, on connections that are kept alive."""

    def __init__(self, folder: Path, name: str, body: bytes) -> None:
        self._script = folder / "predict.lua"
        self._script.write_text(_SCRIPT)
        self._body = folder / f"{name}.json"
        self._body.write_bytes(body)

    def run(self, server: Server, connections: int, seconds: int, core: int | None) -> Load:
        """Load a server; raises BenchFailed if a single request fails."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        command += ["--latency", "-s", str(self._script), f"http://127.0.0.1:{server.port}"]
        used = server.processor_seconds()
        with pinned(core):
            ended = subprocess.run(
                command,
                env={"BENCH_BODY": str(self._body)},
                capture_output=True,
                text=True,
                timeout=seconds + 30,
                executable=shutil.which("wrk"),
            )
        used = server.processor_seconds() - used
        _, _, figures = ended.stdout.rpartition("figures ")
        if ended.returncode or not figures:
            raise BenchFailed(f"wrk failed: {ended.stderr or ended.stdout}")
        found = json.loads(figures)
        if found["errors"] or not found["requests"]:
            raise BenchFailed(f"{found['errors']} of {found['requests']} requests failed.")
        return Load(
            per_second=found["requests"] / found["us"] * 1e6,
            p50_ms=found["p50_us"] / 1e3,
            p99_ms=found["p99_us"] / 1e3,
            processor_us=used / found["requests"] * 1e6,
        )
