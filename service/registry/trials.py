"""The trials of a search as MLflow runs, each nested in the run of its training."""

import time
from typing import Any

import orjson

from service.common.search import Trial, TrialState
from service.registry.connection import Connection

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow's page shows a run below another."""

_STATUS: dict[TrialState, str] = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_PAGE = 1000
_LONGEST_PARAM = 500


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
    tags = [] if tagged else [RunTag("trial_state", trial.state)]
    if trial.reason and not tagged:
        tags.append(RunTag("reason", trial.reason))
    return {"metrics": metrics, "params": params, "tags": tags}


def _milliseconds(at: float | None) -> int:
    return int((time.time() if at is None else at) * 1000)
