"""The trials of a search as MLflow runs, each nested in the run of its training."""

import contextlib
import time
from dataclasses import replace
from typing import Any

import msgspec
import orjson

from service.common.search import Trial, TrialState
from service.registry.connection import Connection

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow's page shows a run below another."""

_STATUS: dict[TrialState, str] = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_PAGE = 1000
_LONGEST_PARAM = 500
_RECORD = "record"
"""Tag: the trial as a whole, for other pods of the same search."""
_LONGEST_RECORD = 5000


def record(
    connection: Connection, training: str, metric: str, trial: Trial, run: str | None
) -> str:
    """Write a trial to its run, which is begun if there is none; return the run's id.

    A trial that has ended takes three calls, however far it had been recorded before.
    """
    client = connection.client
    is_new = run is None
    if run is None:
        begun = client.create_run(
            connection.experiment("trainings"),
            start_time=_milliseconds(trial.started_at),
            run_name=f"trial {trial.number} {trial.model_type}",
            tags={
                PARENT: training,
                "trial": str(trial.number),
                "trial_state": trial.state,
                _RECORD: _whole(trial),
                "model_type": trial.model_type,
                **({"reason": trial.reason} if trial.reason else {}),
            },
        )
        run = str(begun.info.run_id)
    if trial.state != "running":
        client.log_batch(run, **_batch(metric, trial, tagged=is_new))
        client.set_terminated(run, _STATUS[trial.state], _milliseconds(trial.ended_at))
    return run


def close_all(connection: Connection, training: str) -> None:
    """End the runs of a training's trials that are still open."""
    for run in _of(connection, training, " and attributes.status = 'RUNNING'"):
        connection.client.set_tag(run.info.run_id, "trial_state", "pruned")
        connection.client.set_terminated(run.info.run_id, "KILLED")


def delete_all(connection: Connection, training: str) -> None:
    """Delete the runs of a training's trials."""
    for run in _of(connection, training):
        connection.client.delete_run(run.info.run_id)


def of(connection: Connection, training: str) -> dict[str, Trial]:
    """Return the trials of a training by the ids of their runs, without those that are unreadable.

    A run that was ended from outside, as by `close_all`, is one whose trial has ended.
    """
    found: dict[str, Trial] = {}
    for run in _of(connection, training):
        with contextlib.suppress(msgspec.DecodeError):
            trial = msgspec.json.decode(run.data.tags.get(_RECORD, ""), type=Trial)
            if trial.state == "running" and run.info.end_time:
                trial = replace(trial, state="failed", ended_at=run.info.end_time / 1000)
            found[run.info.run_id] = trial
    return found


def _whole(trial: Trial) -> str:
    text = msgspec.json.encode(trial).decode()
    return text if len(text) <= _LONGEST_RECORD else ""


def _of(connection: Connection, training: str, more: str = "") -> list[Any]:
    """Return the runs of the trials of a training; there are fewer than a page holds."""
    return list(
        connection.client.search_runs(
            [connection.experiment("trainings")],
            filter_string=f"tags.`{PARENT}` = '{training}'{more}",
            max_results=_PAGE,
        )
    )


def _batch(metric: str, trial: Trial, *, tagged: bool) -> dict[str, Any]:
    from mlflow.entities import Metric, Param, RunTag

    at = _milliseconds(trial.ended_at)
    metrics = [Metric(f"fold_{metric}", value, at, fold) for fold, value in enumerate(trial.values)]
    if trial.value is not None:
        metrics.append(Metric(metric, trial.value, at, 0))
    params = [
        Param(key, orjson.dumps(value).decode()[:_LONGEST_PARAM])
        for key, value in trial.params.items()
    ]
    tags = []
    if not tagged:
        tags += [RunTag("trial_state", trial.state), RunTag(_RECORD, _whole(trial))]
    if trial.reason and not tagged:
        tags.append(RunTag("reason", trial.reason))
    return {"metrics": metrics, "params": params, "tags": tags}


def _milliseconds(at: float | None) -> int:
    return int((time.time() if at is None else at) * 1000)
