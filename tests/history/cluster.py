"""Replicas as processes with one MLflow server, and a wire for every connection between them.

A client connects to a replica directly; a replica reaches the others and MLflow by wires of its
own, so that any of them can be cut off from any other.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.history.target import Target
from tests.history.wires import Mode, Wire, Wires
from tests.support.mlflow_server import free_port
from tests.support.waiting import wait_until


class Process(Target):
    """One replica, which may be stopped, killed and started again."""

    def __init__(
        self, name: str, folder: Path, mlflow: Wire, inbound: list[Wire], port: int
    ) -> None:
        super().__init__(name, "127.0.0.1", port)
        self.mlflow = mlflow
        self.inbound = inbound
        self.outbound: list[Wire] = []
        self.module = "service"
        """What is run: the service itself, or one that was changed for a test."""
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def give(self, defect: str) -> None:
        """Switch on this defect of `mutant`; empty: none."""
        self._defect.write_text(defect)

    @property
    def _defect(self) -> Path:
        return self._folder / f"{self.name}.defect"

    def start(self) -> None:
        """Start it; connections to it are no longer refused."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SERVICE_")}
        environment = {
            **kept,
            "SERVICE_PORT": str(self.port),
            "SERVICE_DATA_DIR": str(self._folder / self.name),
            "SERVICE_MLFLOW_URI": self.mlflow.url,
            "SERVICE_REPLICAS": ",".join(wire.url for wire in self.outbound),
            "SERVICE_STARTER_MODEL": "",
            "HISTORY_DEFECT": str(self._defect),
        }
        with self._lock:
            for wire in self.inbound:
                wire.set("open")
            with (self._folder / f"{self.name}.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", self.module],
                    env=environment, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and its child processes."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Kill it; connections to it are refused from now on."""
        with self._lock:
            if self._process is None:
                return
            self.signal(signal.SIGKILL)
            self._process.wait(10)
            for wire in self.inbound:
                wire.set("refused")

    def end(self) -> None:
        """Kill it and its child processes, without a restart."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)

    def log(self) -> str:
        """Return the end of its log."""
        return (self._folder / f"{self.name}.log").read_text()[-3000:]


class Cluster:
    """All replicas, and the wires between them."""

    def __init__(self, replicas: Sequence[Process], between: dict[tuple[str, str], Wire]) -> None:
        self.replicas = replicas
        self._between = between

    def mlflow(self, mode: Mode, drop: bool = False) -> None:
        """Set the mode of all wires to MLflow."""
        for replica in self.replicas:
            replica.mlflow.set(mode, drop)

    def peers_of(self, replica: Process, mode: Mode, drop: bool = False) -> None:
        """Set the mode of the wires between a replica and all others, in both directions."""
        for ends, wire in self._between.items():
            if replica.name in ends:
                wire.set(mode, drop)

    def agree(self, epoch: int = 1) -> int | None:
        """Return the epoch of all replicas, if it is the same and at least this one."""
        epochs = {replica.epoch() for replica in self.replicas}
        return epochs.pop() if len(epochs) == 1 and min(epochs) >= epoch else None


@contextmanager
def cluster(
    folder: Path, mlflow_uri: str, count: int = 3, module: str = "service"
) -> Iterator[Cluster]:
    """Run replicas, all ready, while the block runs."""
    wires = Wires()
    names = [f"r{i}" for i in range(count)]
    mlflow_port = urlsplit(mlflow_uri).port
    assert mlflow_port is not None
    folder.mkdir(parents=True, exist_ok=True)
    ports = {name: free_port() for name in names}
    between = {(a, b): wires.to(ports[b]) for a in names for b in names if a != b}
    replicas = []
    for name in names:
        inbound = [wire for (_, target), wire in between.items() if target == name]
        replica = Process(name, folder, wires.to(mlflow_port), inbound, ports[name])
        replica.outbound = [wire for (source, _), wire in between.items() if source == name]
        replica.module = module
        replica.give("")
        replicas.append(replica)
    try:
        for replica in replicas:
            replica.start()
        for replica in replicas:
            wait_until(lambda replica=replica: replica.answers("/healthz"), 60)  # type: ignore[misc]
        yield Cluster(replicas, between)
    finally:
        for replica in replicas:
            replica.end()
        wires.close()
