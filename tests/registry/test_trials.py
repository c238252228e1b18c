"""The trials of a search in every registry: nested in their training, and none left open."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.common.errors import TrainingNotFound
from service.common.ports import Registry
from service.common.search import Candidate, SearchState, Trial
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.fakes import FakeRegistry
from tests.support.registered import open_training

BEGUN = Trial(
    number=1,
    model_type="SVC",
    params={"C": 0.5, "kernel": "rbf", "sizes": [3, 2]},
    state="running",
    started_at=1_700_000_000.25,
)
ENDED = replace(BEGUN, state="complete", values=(0.5, 0.25), value=0.375, ended_at=1_700_000_009.5)
STATE = SearchState("log_loss", trials=1, running=1, seconds_left=9.5)


def states(registry: Registry, training: str) -> list[str]:
    """Return the state of each record of a trial, as MLflow's page or the fake shows it."""
    if isinstance(registry, FakeRegistry):
        return [one.state for parent, one in registry.trials.values() if parent == training]
    return [run.info.status for run in runs(registry, training)]


def runs(registry: Registry, training: str) -> list[Any]:
    assert isinstance(registry, MlflowRegistry)
    found = registry._connection.search_runs(
        "trainings", f"tags.`mlflow.parentRunId` = '{training}'", 100
    )
    return list(found)


OPEN = ("running", "RUNNING")


def test_a_trial_is_recorded_below_its_training_and_is_no_training(registry: Registry) -> None:
    training = open_training(registry, search=STATE)
    running = registry.record_trial(training, BEGUN, None)
    assert states(registry, training.id) in (["running"], ["RUNNING"])

    assert registry.record_trial(training, ENDED, running) == running

    assert states(registry, training.id) in (["complete"], ["FINISHED"])
    assert training.id == registry.list_trainings(1, None).items[0].id
    with pytest.raises(TrainingNotFound):
        registry.get_training(running)
    registry.close_training(replace(training, state="succeeded"))


def test_mlflow_shows_what_a_trial_tried_and_what_came_of_it(registry: Registry) -> None:
    if isinstance(registry, FakeRegistry):
        pytest.skip("The fake keeps the trial itself.")
    training = open_training(registry, search=STATE)

    registry.record_trial(training, ENDED, None)

    run = runs(registry, training.id)[0]
    assert run.data.params == {"C": "0.5", "kernel": '"rbf"', "sizes": "[3,2]"}
    assert run.data.metrics["log_loss"] == 0.375
    assert run.data.tags["trial_state"] == "complete"
    assert run.info.run_name == "trial 1 SVC"
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_250, 1_700_000_009_500)


@pytest.mark.parametrize("state", ["failed", "cancelled", "succeeded"])
def test_the_end_of_a_training_leaves_no_trial_open(registry: Registry, state: Any) -> None:
    training = open_training(registry, search=STATE)
    other = open_training(registry, search=STATE)
    registry.record_trial(training, BEGUN, None)
    registry.record_trial(training, replace(ENDED, number=2), None)
    registry.record_trial(other, BEGUN, None)

    registry.close_training(replace(training, state=state, finished_at=time.time()))

    assert not set(OPEN) & set(states(registry, training.id))
    assert set(OPEN) & set(states(registry, other.id))
    registry.close_training(replace(other, state="failed"))


def test_a_deleted_training_has_no_trials(registry: Registry) -> None:
    training = open_training(registry, search=STATE)
    registry.record_trial(training, ENDED, None)
    registry.close_training(replace(training, state="failed"))

    registry.delete_training(training.id)

    assert states(registry, training.id) == []


def test_the_state_of_a_search_is_read_as_it_was_written_however_long(registry: Registry) -> None:
    names = [f"a_parameter_with_a_long_name_{index}" for index in range(12)]
    candidates = tuple(
        Candidate("HistGradientBoostingClassifier", dict.fromkeys(names, 0.123 * k), 0.5 + k)
        for k in range(20)
    )
    full = replace(STATE, best=candidates[0], leaderboard=candidates)
    training = open_training(registry, search=STATE)

    registry.update_training(replace(training, search=full))
    assert registry.get_training(training.id).search == full
    registry.update_training(replace(training, search=STATE))

    assert registry.get_training(training.id).search == STATE
    registry.close_training(replace(training, state="failed"))


def test_other_pods_read_trials_as_they_are(registry: Registry) -> None:
    training = open_training(registry, search=STATE)
    first = registry.record_trial(training, BEGUN, None)
    second = registry.record_trial(training, replace(BEGUN, number=2), None)
    assert registry.trials_of(training.id)[first] == BEGUN

    registry.record_trial(training, ENDED, first)

    assert registry.trials_of(training.id) == {first: ENDED, second: replace(BEGUN, number=2)}
    registry.close_training(replace(training, state="failed"))
    assert all(one.state != "running" for one in registry.trials_of(training.id).values())


def test_a_pod_records_how_far_a_training_has_come_and_nothing_else(registry: Registry) -> None:
    training = open_training(registry)

    registry.record_progress(training.id, "search", 0.25, STATE)

    found = registry.get_training(training.id)
    assert (found.stage, found.progress, found.search) == ("search", 0.25, STATE)
    assert (found.state, found.owner, found.beat_at) == (
        training.state,
        training.owner,
        training.beat_at,
    )
    registry.close_training(replace(found, state="failed"))


def test_a_folder_is_stored_with_a_training_and_fetched_as_it_was(
    registry: Registry, tmp_path: Path
) -> None:
    training = open_training(registry)
    made, fetched = tmp_path / "made", tmp_path / "fetched"
    (made / "version").mkdir(parents=True)
    (made / "outcome.json").write_bytes(b"{}")
    (made / "version" / "model.onnx").write_bytes(b"graph" * 1000)

    registry.store_folder(training.id, made, "job/out")
    registry.fetch_folder(training.id, "job/out", fetched)

    assert (fetched / "outcome.json").read_bytes() == b"{}"
    assert (fetched / "version" / "model.onnx").read_bytes() == b"graph" * 1000
    registry.close_training(replace(training, state="failed"))
    with pytest.raises(TrainingNotFound):
        registry.store_folder("0" * 32, made, "job/out")
    with pytest.raises(TrainingNotFound):
        registry.fetch_folder("0" * 32, "job/out", fetched)
