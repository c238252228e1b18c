"""Tries other people's clients on the real service: `python -m tests.clients [NAME …]`.

Each runs in its own environment (`make clients` installs them). A table of what passed, failed and
was left out is printed last; exit code 1: a check failed, or an environment is missing.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.tables import table, tell, write
from tools.bench import processes
from tools.bench.client import Client

ROOT = Path(__file__).parents[2]

_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Script:
    """A client's script, and the environment that it runs in."""

    name: str
    environment: str


CLIENTS = {
    "tritonclient http": Script("triton_http", ".clients/triton"),
    "tritonclient grpc": Script("triton_grpc", ".clients/triton"),
    "kserve gRPC": Script("kserve_grpc", ".clients/kserve"),
    "kserve REST": Script("kserve_rest", ".clients/kserve"),
    "MLflow scoring": Script("mlflow_scoring", ".clients/mlflow"),
    "MLServer types": Script("mlserver_types", ".peers/mlserver"),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a script said, or why it said nothing."""

    passed: int
    failed: list[str]
    left_out: dict[str, str]


def _iris(client: Client) -> dict[str, Any]:
    order = {"name": "iris", "model_type": "LogisticRegression", "dataset": "iris", "wait": 120}
    trained = client.ask("POST", "/train", order)
    rows = [[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3], [6.7, 3.1, 5.6, 2.4]]
    return _served(client, trained, rows)


def _mixed(client: Client) -> dict[str, Any]:
    """Train a model of a number, a text and a boolean."""
    chance = random.Random(0)
    rows: list[list[Any]] = [
        [
            round(chance.uniform(0, 10), 3),
            chance.choice(["rot", "grün", "bláu"]),
            chance.random() < 0.5,
        ]
        for _ in range(200)
    ]
    labels = ["yes" if (row[0] > 5) != row[2] or row[1] == "rot" else "no" for row in rows]
    order = {
        "name": "mixed",
        "model_type": "RandomForestClassifier",
        "params": {"n_estimators": 10},
        "target": "kind",
        "dataset": {
            "columns": ["size", "colour", "ripe", "kind"],
            "rows": [[*row, label] for row, label in zip(rows, labels, strict=True)],
        },
        "wait": 120,
    }
    trained = client.ask("POST", "/train", order)
    return _served(client, trained, rows[:5])


def _served(client: Client, trained: dict[str, Any], rows: list[list[Any]]) -> dict[str, Any]:
    """Return a version in use as `checks.ServedModel` has it."""
    features = client.ask("GET", "/schema")["features"]
    names = [feature["name"] for feature in features]
    instances = [dict(zip(names, row, strict=True)) for row in rows]
    body = {"instances": instances, "probabilities": True}
    answer = client.ask("POST", "/predict", body)
    return {
        "name": trained["name"],
        "version": str(trained["version"]),
        "features": names,
        "types": [feature["type"] for feature in features],
        "rows": rows,
        "labels": answer["predictions"],
        "probabilities": answer["probabilities"],
    }


def _run(script: Script, site: Path) -> Result:
    """Run a script in its environment."""
    python = ROOT / script.environment / "bin" / "python"
    if not python.exists():
        return Result(0, [f"{script.environment} is not installed: make clients"], {})
    ended = subprocess.run(
        [python, "-m", f"tests.clients.{script.name}", site],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    tell(ended.stdout.rpartition("\n{")[0] + ended.stderr)
    try:
        return Result(**json.loads(ended.stdout.splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        return Result(0, [f"it ended with {ended.returncode} and no counts"], {})


def run(names: list[str], folder: Path) -> dict[str, Result]:
    """Start the service, train two models, and try each client with iris in use."""
    results = {}
    grpc_port = free_port()
    with processes.service(folder, None, grpc_port=str(grpc_port)) as server:
        client = server.client()
        site: dict[str, Any] = {
            "url": f"http://127.0.0.1:{server.port}",
            "grpc": f"127.0.0.1:{grpc_port}",
            "mixed": _mixed(client),
            "iris": _iris(client),
        }
        path = folder / "site.json"
        path.write_text(json.dumps(site))
        in_use = {"name": "iris", "version": int(site["iris"]["version"])}
        for name in names:
            tell(f"clients: {name}")
            client.ask("POST", "/use-model", in_use)
            results[name] = _run(CLIENTS[name], path)
            server.require_life()
        client.close()
    return results


def report(results: dict[str, Result]) -> str:
    """Return the table, and below it what failed and what was left out."""
    rows = [
        (name, str(result.passed), str(len(result.failed)), str(len(result.left_out)))
        for name, result in results.items()
    ]
    lines = [
        table(
            "Clients",
            "Each in its own environment, against the real service.",
            ("client", "passed", "failed", "left out"),
            rows,
        ),
        "",
    ]
    for name, result in results.items():
        lines += [f"{name}: failed: {what}" for what in result.failed]
        lines += [f"{name}: left out: {what}: {why}" for what, why in result.left_out.items()]
    return "\n".join(lines)


def main() -> int:
    """Try the named clients, or all; return 1 if a check failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CLIENTS))
    names = parser.parse_args().names or list(CLIENTS)
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        parser.error(f"no such client: {', '.join(unknown)}; there are {', '.join(CLIENTS)}")
    with tempfile.TemporaryDirectory() as folder:
        results = run(names, Path(folder))
    write(report(results))
    return 1 if any(result.failed for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
