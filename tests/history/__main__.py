"""The long run: changes under load, changes to be refused, and faults; prints a summary."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from tests.history import history
from tests.history.checker import unavailability
from tests.history.cluster import Cluster, cluster
from tests.history.mover import Mover, at_address, made_by
from tests.history.nemesis import Nemesis
from tests.history.run import AGREEMENT_SECONDS, Run, at, describe, execute
from tests.history.shares import count
from tests.history.target import MODEL, Target
from tests.history.writers import use
from tests.support.mlflow_server import mlflow_server

_MOST_SECONDS = 1800


def main() -> int:
    """Run all parts; return 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.history", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of changes without faults")
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--moves", type=int, default=20, help="of an alias that is followed")
    parser.add_argument("--keys", type=int, default=10_000, help="clients that a split shares")
    parser.add_argument("--refused", type=int, default=100, help="changes that must be refused")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults")
    parser.add_argument("--keep", type=Path, help="folder for histories and logs")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(_MOST_SECONDS)
    with tempfile.TemporaryDirectory(prefix="history-") as temporary:
        folder = Path(temporary) if asked.keep is None else asked.keep.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with mlflow_server(folder) as uri:
            with cluster(folder / "training", uri, count=1) as alone:
                versions = alone.replicas[0].train(5)
            with cluster(folder, uri, module="tests.history.hasty") as replicas:
                return _all_parts(replicas, versions, uri, folder, asked)


def _all_parts(
    replicas: Cluster, versions: list[int], uri: str, folder: Path, asked: argparse.Namespace
) -> int:
    *good, corrupt = versions
    _corrupt(folder / "artifacts")
    _register_what_lies_elsewhere(uri)

    idle = execute(replicas, good, 10, pauses=())
    ok = _report("idle", idle, folder, failures=False)

    changes = execute(replicas, good, asked.seconds, pauses=(0.4, 4.0, 4.0))
    ok &= _report("changes", changes, folder, failures=False)
    ratio = at(changes.latencies(), 0.99) / at(idle.latencies(), 0.99)
    _write(f"p99 is {ratio:.1f} times idle\n")

    splits = execute(replicas, good, asked.seconds, pauses=(0.4, 4.0, 4.0), splits=True)
    ok &= _report("splits and promotions", splits, folder, failures=False)
    promoted = made_by(at_address(uri), "rules of the traffic")
    _write(f"{promoted} promotions by rule\n")
    ok &= promoted > 0
    shares = [count(replicas.replicas, good[1], percent, asked.keys) for percent in (1, 10, 50)]
    for one in shares:
        _write(
            f"split of {one.percent} %: {one.told:.2f} % of {one.keys} clients, {one.both} of both"
        )
        ok &= abs(one.told - one.percent) < 1 and not one.both

    mover = Mover(replicas, uri, good, asked.moves, asked.seed)
    moves = execute(replicas, good, 0, pauses=(), mover=mover)
    ok &= _report("moves", moves, folder, failures=False)
    ok &= mover.changes() == asked.moves

    run = Run()
    before = replicas.agree()
    bad = [("missing", 1), (MODEL, 1_000_000), (MODEL, corrupt), ("elsewhere", 1)]
    for i in range(asked.refused):
        name, version = bad[i % len(bad)]
        replica = replicas.replicas[i // len(bad) % len(replicas.replicas)]
        run.history.append(use("refused", replica, version, name=name))
    unchanged = before is not None and replicas.agree() == before
    refused = run.count("unchanged")
    _write(f"refused\n  {refused} of {asked.refused} refused; epoch {before} stayed: {unchanged}\n")
    for reason in sorted({one.reason for one in run.uses}):
        _write(f"    {reason}")
    ok &= unchanged and refused == asked.refused

    nemesis = Nemesis(replicas, asked.seed)
    faults = nemesis.names(asked.faults)
    faulty = execute(
        replicas, good, 0, nemesis=nemesis, faults=faults, seed=asked.seed, splits=True
    )
    ok &= _report("faults", faulty, folder, failures=True)
    ok &= faulty.agreed_after < AGREEMENT_SECONDS
    _write("every promise was kept" if ok else "a promise was broken")
    return 0 if ok else 1


def _report(name: str, run: Run, folder: Path, failures: bool) -> bool:
    """Print the result of a part; `failures`: predictions may fail in it."""
    (folder / f"{name}.jsonl").write_bytes(history.encode(run.history))
    violations = run.violations()
    _write(f"{name}\n  {run.summary()}".replace("\n", "\n  "))
    _write(f"  {describe(violations)}\n")
    if violations:
        for event in run.events:
            _write(f"  {event}")
    return not violations and (failures or not unavailability(run.history))


def _corrupt(artifacts: Path) -> None:
    """Change the files of the last trained version, bypassing MLflow."""
    folder = max(artifacts.rglob("m-*"), key=lambda path: path.stat().st_mtime)
    for path in folder.rglob("model.*"):
        path.write_bytes(path.read_bytes()[:-8] + b"tampered")


def _register_what_lies_elsewhere(uri: str) -> None:
    port = urlsplit(uri).port
    assert port is not None
    api = "/api/2.0/mlflow"
    mlflow = Target("mlflow", "127.0.0.1", port)
    mlflow.ask("POST", f"{api}/registered-models/create", {"name": "elsewhere"})
    body = {"name": "elsewhere", "source": "s3://elsewhere/nothing"}
    status, answer = mlflow.ask("POST", f"{api}/model-versions/create", body)
    assert status == 200, answer


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
