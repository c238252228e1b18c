"""Runs each peer as its documentation says, in one process, without a request log.

A peer that can batch requests is measured with and without batching.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.bench import processes
from tools.bench.client import BenchFailed
from tools.bench.forest import Forest
from tools.bench.processes import Server, wait_for

_ROOT = Path(__file__).parents[3]
_ENVIRONMENTS = _ROOT / ".peers"


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line with its environment."""

    command: list[str]
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Api:
    """The format of a server's requests and replies."""

    path: str
    body: Callable[[Forest, NDArray[np.float64]], Any]
    labels: Callable[[Any], list[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to compare with: how it is started, and its API."""

    name: str
    environment: str
    """Its folder in `.peers`, its package, and the name of its requirements."""
    launch: Callable[[Path, Path, int], Launch]
    """Takes the folder of executables, a folder to write to, and the port."""
    ready: str
    api: Api

    @contextmanager
    def running(self, folder: Path, core: int | None) -> Iterator[Server]:
        """Run it while the block runs, once ready; raise BenchFailed if it is not installed."""
        executables = _ENVIRONMENTS / self.environment / "bin"
        if not executables.is_dir():
            raise BenchFailed(f"{self.name} is not installed: make bench-peers")
        port = processes.free_port()
        launch = self.launch(executables, folder, port)
        environment = {**launch.environment, "PATH": f"{executables}:{os.environ['PATH']}"}
        log = folder / f"{self.name}.log"
        with processes.running(launch.command, log, core, environment, port) as server:

            def is_ready() -> bool:
                server.require_life()
                return server.client().is_ready(self.ready)

            wait_for(is_ready, 120, f"{self.name} does not become ready")
            yield server


def version(package: str, requirements: str) -> str:
    """Return the version of a package that its requirements pin."""
    pins = (line.split()[0] for line in requirements.splitlines() if "==" in line)
    found = {name: pinned for name, _, pinned in (pin.partition("==") for pin in pins)}
    return found[package]


def versions() -> dict[str, str]:
    """Return the version of each measured package."""
    folder = Path(__file__).parent
    names = sorted({peer.environment for peer in PEERS})
    return {name: version(name, (folder / f"{name}.txt").read_text()) for name in names}


def _save(executables: Path, form: str, path: Path) -> None:
    """Fit and save the forest in a peer's environment, as a peer loads files of its libraries."""
    command = [str(executables / "python"), "-m", "tools.bench.peers.saving", form, str(path)]
    ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120)
    if ended.returncode:
        raise BenchFailed(f"The forest cannot be saved: {ended.stderr[-600:]}")


def _mlserver(more: dict[str, object]) -> Callable[[Path, Path, int], Launch]:
    def launch(executables: Path, folder: Path, port: int) -> Launch:
        home = folder / f"mlserver-{port}"
        home.mkdir()
        _save(executables, "joblib", home / "model.joblib")
        settings = {
            "debug": False,
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": processes.free_port(),
            "metrics_port": processes.free_port(),
            # In the server's own process, as a worker process on the same core is slower.
            "parallel_workers": 0,
        }
        model = {
            "name": "forest",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib"},
            **more,
        }
        (home / "settings.json").write_text(json.dumps(settings))
        (home / "model-settings.json").write_text(json.dumps(model))
        return Launch([str(executables / "mlserver"), "start", str(home)], {})

    return launch


def _bentoml(executables: Path, folder: Path, port: int) -> Launch:
    home = folder / f"bentoml-{port}"
    home.mkdir()
    _save(executables, "joblib", home / "model.joblib")
    command = [str(executables / "bentoml"), "serve", "tools.bench.peers.bento:Forest"]
    command += ["--working-dir", str(_ROOT), "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "BENCH_MODEL": str(home / "model.joblib"),
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    return Launch(command, environment)


def _mlflow(executables: Path, folder: Path, port: int) -> Launch:
    model = folder / f"mlflow-{port}"
    _save(executables, "mlflow", model)
    command = [str(executables / "mlflow"), "models", "serve", "--model-uri", str(model)]
    command += ["--env-manager", "local", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    # It runs uvicorn's command, which reads its options from environment variables.
    return Launch(command, {"UVICORN_ACCESS_LOG": "false"})


def _v2(_: Forest, rows: NDArray[np.float64]) -> Any:
    tensor = {"name": "predict", "shape": rows.shape, "datatype": "FP64", "data": rows.tolist()}
    return {"inputs": [tensor]}


def _split(forest: Forest, rows: NDArray[np.float64]) -> Any:
    return {"dataframe_split": {"columns": forest.names, "data": rows.tolist()}}


def _labels_of(reply: Any) -> list[str]:
    return list(reply["predictions"])


def _of_bentoml(path: str) -> Api:
    return Api(path, lambda _, rows: {"rows": rows.tolist()}, list)


SERVICE = Api("/predict", lambda forest, rows: {"instances": forest.named(rows)}, _labels_of)
"""The API of the service."""

ARRAYS = Api("/predict", lambda _, rows: {"instances": rows.tolist()}, _labels_of)
"""The same without column names, as some peers take rows."""

V2 = Api("/v2/models/forest/infer", _v2, lambda reply: list(reply["outputs"][0]["data"]))
SCORING = Api("/invocations", _split, _labels_of)

# The largest number of waiting requests, and the delay from its guide.
_BATCH: dict[str, object] = {"max_batch_size": 32, "max_batch_time": 0.01}

PEERS = (
    Peer("MLServer", "mlserver", _mlserver({}), "/v2/health/ready", V2),
    Peer("MLServer, batching", "mlserver", _mlserver(_BATCH), "/v2/health/ready", V2),
    Peer("BentoML", "bentoml", _bentoml, "/readyz", _of_bentoml("/predict")),
    Peer("BentoML, batching", "bentoml", _bentoml, "/readyz", _of_bentoml("/batched")),
    Peer("mlflow", "mlflow", _mlflow, "/ping", SCORING),
)
"""The peers that are measured."""

DESCRIBED = Peer(
    "MLServer, described",
    "mlserver",
    _mlserver(
        {
            "platform": "sklearn",
            "parameters": {"uri": "./model.joblib", "version": "1"},
            "inputs": [{"name": "rows", "datatype": "FP64", "shape": [-1, 30]}],
            "outputs": [
                {"name": "predict", "datatype": "BYTES", "shape": [-1, 1]},
                {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
            ],
        }
    ),
    "/v2/health/ready",
    V2,
)
"""MLServer with metadata of the forest, as clients that read metadata need it."""
