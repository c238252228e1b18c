"""A search in a service with MLflow: what it records, and what a crash leaves behind."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.registry.connection import Connection
from tests.support.process import descendants, service_process
from tests.support.server import Client
from tests.support.stores import with_tables
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SLOW = {
    "name": "slow",
    "dataset": "digits",
    "use": False,
    "wait": 0,
    "search": {"model_types": ["GradientBoostingClassifier"], "trials": 500, "parallel": 2},
}


@contextmanager
def mlflow(folder: Path) -> Iterator[Connection]:
    """Open the embedded store beside the service, as MLflow's page does."""
    connection = Connection("", folder)
    yield connection
    connection.close()


def trials(connection: Connection, training: str) -> list[Any]:
    wanted = f"tags.`mlflow.parentRunId` = '{training}'"
    return list(connection.search_runs("trainings", wanted, 1000))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_tables(tmp_path / "data")


def begin(client: Client) -> str:
    """Begin a slow search; return its training."""
    reply = client.post("/train", json=SLOW)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def test_each_trial_is_a_run_below_its_training_and_none_stays_open(folder: Path) -> None:
    search = {"model_types": ["LogisticRegression", "NearestCentroid"], "trials": 15}
    body = {"name": "s", "dataset": "iris", "wait": 120, "search": search}

    with service_process(folder, starter_model="") as (_, client):
        training = client.post("/train", json=body).json()
        assert training["state"] == "succeeded", training
        assert [one["id"] for one in client.get("/trainings").json()["trainings"]] == [
            training["id"]
        ]

    with mlflow(folder) as connection:
        runs = trials(connection, training["id"])
    found = training["search"]
    assert len(runs) == found["trials"]
    counts = dict.fromkeys(("FINISHED", "KILLED", "FAILED", "RUNNING"), 0)
    for run in runs:
        counts[run.info.status] += 1
    assert counts["RUNNING"] == 0
    assert (counts["KILLED"], counts["FAILED"]) == (found["pruned"], found["failed"])
    best = min(run.data.metrics.get("log_loss", 9.0) for run in runs)
    assert best == pytest.approx(found["best"]["value"])


def test_after_a_crash_the_training_has_failed_and_no_trial_is_open(folder: Path) -> None:
    with service_process(folder, starter_model="") as (process, client):
        training = begin(client)
        with mlflow(folder) as connection:
            wait_until(lambda: len(trials(connection, training)) >= 2, seconds=60)
        pids = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), seconds=30)

    with service_process(folder, starter_model="") as (_, client):
        shown = wait_until(lambda: _ended(client, training), seconds=90)

    assert (shown["state"], shown["search"]["running"]) == ("failed", 0)
    with mlflow(folder) as connection:
        assert {run.info.status for run in trials(connection, training)} <= {"FINISHED", "KILLED"}


def test_a_trial_whose_process_is_killed_costs_nothing_else(folder: Path) -> None:
    with service_process(folder, starter_model="") as (process, client):
        training = begin(client)
        path = f"/trainings/{training}"
        wait_until(lambda: client.get(path).json()["search"]["running"] == 2, seconds=60)
        before = client.get(path).json()["search"]["trials"]
        os.kill(max(descendants(process.pid)), signal.SIGKILL)

        wait_until(lambda: client.get(path).json()["search"]["failed"] == 1, seconds=60)
        wait_until(lambda: client.get(path).json()["search"]["trials"] > before, seconds=60)

        assert client.get(path).json()["state"] == "running"
        assert client.delete(path).json()["state"] == "cancelled"
    with mlflow(folder) as connection:
        runs = trials(connection, training)
    failed = [run for run in runs if run.info.status == "FAILED"]
    assert [run.data.tags["reason"] for run in failed] == ["Its process ended early: SIGKILL."]
    assert all(run.info.status != "RUNNING" for run in runs)


def _ended(client: Client, training: str) -> Any:
    reply = client.get(f"/trainings/{training}")
    shown = reply.json()
    return shown if reply.status_code == 200 and shown["state"] != "running" else None
