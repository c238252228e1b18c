"""The servers as processes of their own: started, pinned to a core, and ended by their id."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import BenchFailed, Client

_ADDRESS = re.compile(rb"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core a server is pinned to, and which its client; None where there are not two."""

    server: int | None
    client: int | None

    def __str__(self) -> str:
        if self.server is None:
            return "servers and clients on whatever core is free"
        return f"servers pinned to core {self.server}, clients to core {self.client}"


def two_cores(pin: bool) -> Cores:
    """Choose two cores, if this process may use as many and pinning is wished."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[1], usable[0]) if pin and len(usable) > 1 else Cores(None, None)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keep this thread, and the processes that it starts meanwhile, on a core."""
    usable = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until it is true, and give how long that took; raises BenchFailed after `seconds`."""
    start = time.perf_counter()
    while not condition():
        if time.perf_counter() - start > seconds:
            raise BenchFailed(f"{what} within {seconds:g} s.")
        time.sleep(0.002)
    return time.perf_counter() - start


class Server:
    """A server that runs in a process of its own, and writes its log to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, start: float) -> None:
        self._process = process
        self._log = log
        self.start = start
        self.port = 0

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def find_port(self) -> bool:
        """Look for the port in the log; raises BenchFailed if the process has ended."""
        log = self._log.read_bytes()
        if self._process.poll() is not None:
            raise BenchFailed(f"{self._log.stem} ended: {log[-600:].decode(errors='replace')}")
        found = _ADDRESS.search(log)
        self.port = int(found[1]) if found else 0
        return found is not None

    def client(self) -> Client:
        """Connect to it."""
        return Client(self.port)

    def stop(self) -> None:
        """End it, with force after half a minute."""
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def processor_seconds(self) -> float:
        """Give the time that it has used of a core, in user and system mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Give the resident memory of the process, in MB (10^6 bytes)."""
        return _resident_mb(self.pid)

    def children_mb(self) -> float:
        """Give the resident memory of the processes that it started, in sum, in MB."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        return sum(_resident_mb(int(child)) for task in tasks for child in task.read_text().split())


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


@contextmanager
def running(
    arguments: list[str],
    log: Path,
    core: int | None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run `python -m` with these arguments while the block runs, from when it listens on."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERVICE_")}
    with log.open("wb") as file, pinned(core):
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env={**kept, **(environment or {})},
            stdout=file,
            stderr=file,
        )
    server = Server(process, log, start)
    try:
        wait_for(server.find_port, 60, f"{log.stem} does not listen")
        yield server
    finally:
        server.stop()


@contextmanager
def service(folder: Path, core: int | None, **changes: str) -> Iterator[Server]:
    """Run the service on a data folder in `folder`, with other settings where they are given."""
    settings = {"data_dir": str(folder / "data"), "port": "0", "starter_model": "", **changes}
    environment = {f"SERVICE_{key.upper()}": value for key, value in settings.items()}
    with running(["service"], folder / "service.log", core, environment) as server:
        client = server.client()
        wait_for(lambda: client.is_ready("/healthz"), 60, "the service does not answer")
        client.close()
        yield server


@contextmanager
def handler(folder: Path, core: int | None) -> Iterator[Server]:
    """Run the tutorial's handler."""
    with running(["bench.handler"], folder / "handler.log", core) as server:
        yield server


@contextmanager
def limit(folder: Path, core: int | None, reply: bytes) -> Iterator[Server]:
    """Run the application that always gives this reply."""
    with running(["bench.limit", reply.decode()], folder / "limit.log", core) as server:
        yield server
