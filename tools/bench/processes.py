"""Runs servers as separate processes, pinned to a core and ended by their ids."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.memory import children, descendants
from tools.bench.client import BenchFailed, Client

_ADDRESS = re.compile(rb"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class CorePool:
    """The cores of a server and of its client; None if there are not two."""

    server: int | None
    client: int | None

    def __str__(self) -> str:
        if self.server is None:
            return "servers and clients on whatever core is free"
        return f"servers pinned to core {self.server}, clients to core {self.client}"


def two_cores(pin: bool) -> CorePool:
    """Choose two cores, if this process may use two and pinning is wanted."""
    usable = sorted(os.sched_getaffinity(0))
    return CorePool(usable[1], usable[0]) if pin and len(usable) > 1 else CorePool(None, None)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Pin this thread, and the processes that it starts meanwhile, to a core."""
    usable = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until a condition holds and return the time; raise BenchFailed after `seconds`."""
    start = time.perf_counter()
    while not condition():
        if time.perf_counter() - start > seconds:
            raise BenchFailed(f"{what} within {seconds:g} s.")
        time.sleep(0.002)
    return time.perf_counter() - start


class Server:
    """A server in a process of its own, which logs to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, start: float) -> None:
        self._process = process
        self._log = log
        self.start = start
        self.port = 0

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    def require_life(self) -> None:
        """Raise BenchFailed with the end of the log if the process has ended."""
        if self._process.poll() is not None:
            end = self._log.read_bytes()[-600:].decode(errors="replace")
            raise BenchFailed(f"{self._log.stem} ended: {end}")

    def find_port(self) -> bool:
        """Read the port from the log, if present; raise BenchFailed if the process has ended."""
        log = self._log.read_bytes()
        self.require_life()
        found = _ADDRESS.search(log)
        self.port = int(found[1]) if found else 0
        return found is not None

    def client(self) -> Client:
        """Return a client of the server."""
        return Client(self.port)

    def stop(self) -> None:
        """End the process, by force after half a minute, and the rest of its group."""
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # A peer's launcher does not always end its workers. The process leads its own group.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def processor_seconds(self) -> float:
        """Return the processor time of the process and its children, in user and system mode."""
        return sum(_processor_seconds(pid) for pid in (self.pid, *descendants(self.pid)))

    def resident_mb(self) -> float:
        """Return the resident memory of the process, in MB (10^6 bytes)."""
        return _resident_mb(self.pid)

    def children_mb(self) -> float:
        """Return the total resident memory of its child processes in MB."""
        return sum(map(_resident_mb, children(self.pid)))


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def free_port() -> int:
    """Return a free port, for a server that cannot choose one itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running(
    command: list[str],
    log: Path,
    core: int | None,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Server]:
    """Run a server while the block runs; without `port`, wait until its log names one."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERVICE_")}
    with log.open("wb") as file, pinned(core):
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**kept, **(environment or {})},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    server = Server(process, log, start)
    try:
        if port is None:
            wait_for(server.find_port, 60, f"{log.stem} does not listen")
        else:
            server.port = port
        yield server
    finally:
        server.stop()


def _python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


@contextmanager
def service(folder: Path, core: int | None, **changes: str) -> Iterator[Server]:
    """Run the service on a data folder in `folder`, with these settings changed."""
    settings = {"data_dir": str(folder / "data"), "port": "0", "starter_model": "", **changes}
    environment = {f"SERVICE_{key.upper()}": value for key, value in settings.items()}
    with running(_python("service"), folder / "service.log", core, environment) as server:
        client = server.client()
        wait_for(lambda: client.is_ready("/healthz"), 60, "the service does not answer")
        client.close()
        yield server


@contextmanager
def handler(folder: Path, core: int | None) -> Iterator[Server]:
    """Run the tutorial's handler."""
    with running(_python("tools.bench.handler"), folder / "handler.log", core) as server:
        yield server


@contextmanager
def limit(folder: Path, core: int | None, reply: bytes) -> Iterator[Server]:
    """Run the application that always sends this reply."""
    with running(
        _python("tools.bench.limit", reply.decode()), folder / "limit.log", core
    ) as server:
        yield server
