"""Trainings as MLflow runs."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from service.common.domain import OPEN_STATES, DataSet, Page, Training
from service.common.errors import TrainingNotFound
from service.common.search import SearchState, Trial
from service.registry import trials
from service.registry.connection import RegistryPart, checked_page_token, page_token_of
from service.registry.mlmodel import TYPES
from service.registry.training_tags import STATUS, progress_tags, tags_of, training_of

_DIGEST_CHARACTERS = 36
"""Characters that MLflow keeps of the digest of a run's input."""
_MOST_COLUMNS = 500
"""MLflow keeps a data set's schema in one column of its database; a wider one is cut."""


class MlflowTrainings(RegistryPart):
    """The port `Trainings` over one connection."""

    def open_training(self, training: Training, details: Mapping[str, str]) -> Training:
        """Record a new one; return it with the id that it got."""
        with self._connection.calls():
            run = self._client.create_run(
                self._connection.experiment("trainings"),
                run_name=f"{training.name} {training.model_type or 'search'}",
                tags={**tags_of(training), **details},
            )
        return replace(training, id=run.info.run_id, created_at=run.info.start_time / 1000)

    def update_training(self, training: Training) -> None:
        """Record its state, stage, progress and beat."""
        self._log_tags(training)

    def beat(self, identifier: str, at: float) -> None:
        """Record that its owner still runs it, without any other change."""
        with self._connection.calls(TrainingNotFound(identifier)):
            self._client.set_tag(identifier, "beat", f"{at:.3f}")

    def record_progress(
        self, identifier: str, stage: str, progress: float, search: SearchState | None
    ) -> None:
        """Record how far it has come, and nothing else; for a pod, which does not own it."""
        self._log(identifier, progress_tags(stage, progress, search))

    def record_result(
        self,
        training: Training,
        params: Mapping[str, str],
        data_set: DataSet,
        files: Path | None,
    ) -> None:
        """Record parameters, metrics, the data set as an input, and the files as artifacts."""
        from mlflow.entities import DatasetInput, InputTag, Metric, Param

        now = int(time.time() * 1000)
        schema = [
            {
                "name": column["name"],
                "type": TYPES[column["type"]],
                "required": not column["missing"],
            }
            for column in data_set.columns[:_MOST_COLUMNS]
        ]
        dataset = as_input(
            data_set,
            data_set.sha256,
            orjson.dumps({"num_rows": data_set.rows, "num_columns": len(data_set.columns)}),
            schema=orjson.dumps({"mlflow_colspec": schema}).decode(),
        )
        with self._connection.calls():
            self._client.log_batch(
                training.id,
                params=[Param(key, value[:6000]) for key, value in params.items()],
                metrics=[
                    Metric(f"seconds.{key}", value, now, 0)
                    for key, value in training.seconds.items()
                ],
            )
            self._client.log_inputs(
                training.id,
                datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])],
            )
            if files is not None:
                self._client.log_artifacts(training.id, str(files))

    def record_trial(self, training: Training, trial: Trial, record: str | None) -> str:
        """Record a trial of a training's search as it is now; return the id of its record."""
        metric = "value" if training.search is None else training.search.metric
        with self._connection.calls(TrainingNotFound(training.id)):
            return trials.record(self._connection, training.id, metric, trial, record)

    def trials_of(self, identifier: str) -> Mapping[str, Trial]:
        """Return the trials of a training's search by the ids of their records."""
        with self._connection.calls(TrainingNotFound(identifier)):
            return trials.of(self._connection, identifier)

    def close_training(self, training: Training) -> None:
        """Record its end; before that, that of each trial of its search that is still open."""
        if training.search is not None:
            # First, so that what ends this process in between leaves a training that is found.
            with self._connection.calls(TrainingNotFound(training.id)):
                trials.close_all(self._connection, training.id)
        self._log_tags(training)
        ended = int((training.finished_at or time.time()) * 1000)
        with self._connection.calls(TrainingNotFound(training.id)):
            self._client.set_terminated(training.id, STATUS[training.state], ended)

    def training_of_key(self, key: str) -> tuple[Training, str] | None:
        """Return the newest training whose details hold this `idempotency_key`, and its `request`.

        One that failed by the service's fault does not count, so that a repeated request is tried.
        """
        runs = self._connection.search_runs("trainings", f"tags.idempotency_key = '{key}'", 1)
        if not runs or runs[0].data.tags.get("fault") == "service":
            return None
        return training_of(runs[0]), runs[0].data.tags.get("request", "")

    def get_training(self, identifier: str) -> Training:
        """Return one; raises TrainingNotFound."""
        if not re.fullmatch(r"[0-9a-f]{32}", identifier):
            raise TrainingNotFound(identifier)
        with self._connection.calls(TrainingNotFound(identifier)):
            run = self._client.get_run(identifier)
            experiment = self._connection.experiment("trainings")
        is_trial = trials.PARENT in run.data.tags
        is_deleted = run.info.lifecycle_stage != "active"
        if run.info.experiment_id != experiment or is_deleted or is_trial:
            raise TrainingNotFound(identifier)
        return training_of(run)

    def list_trainings(self, limit: int, page_token: str | None) -> Page[Training]:
        """Return trainings, the newest first."""
        token = checked_page_token(page_token)
        runs = self._connection.search_runs("trainings", "tags.state != ''", limit, token)
        return Page([training_of(run) for run in runs], page_token_of(runs))

    def open_trainings(self) -> Sequence[Training]:
        """Return those that have not ended."""
        return [
            training_of(run)
            for state in OPEN_STATES
            for run in self._oldest_first(f"tags.state = '{state}'")
        ]

    def failed_trainings(self, before: float) -> Sequence[Training]:
        """Return those that began before then, and failed or were cancelled."""
        since = f"attributes.start_time < {int(before * 1000)}"
        return [
            training_of(run)
            for state in ("failed", "cancelled")
            for run in self._oldest_first(f"tags.state = '{state}' and {since}")
        ]

    def trainings_on(self, data_set: DataSet) -> Sequence[Training]:
        """Return those on these rows, and those that have not recorded their rows yet."""
        digest = data_set.sha256[:_DIGEST_CHARACTERS]
        return [
            training_of(run)
            for run in self._oldest_first(f"tags.data_set = '{data_set.name}'")
            if {item.dataset.digest for item in run.inputs.dataset_inputs} <= {digest}
        ]

    def _oldest_first(self, wanted: str) -> Any:
        return self._connection.search_runs("trainings", wanted, 10_000, newest_first=False)

    def delete_training(self, identifier: str) -> None:
        """Delete the run, its trials, and what it logged of a model that was never registered."""
        with self._connection.calls(TrainingNotFound(identifier)):
            trials.delete_all(self._connection, identifier)
            models = self._client.search_logged_models(
                [self._connection.experiment("trainings")],
                filter_string=f"source_run_id = '{identifier}'",
            )
            for model in models:
                self._client.delete_logged_model(model.model_id)
            self._client.delete_run(identifier)

    def _log_tags(self, training: Training) -> None:
        self._log(training.id, tags_of(training))

    def _log(self, identifier: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        with self._connection.calls(TrainingNotFound(identifier)):
            self._client.log_batch(identifier, tags=[RunTag(*item) for item in tags.items()])


def as_input(data_set: DataSet, digest: str, profile: bytes, schema: str | None = None) -> Any:
    """Return a data set as MLflow shows it among a run's inputs."""
    from mlflow.entities import Dataset

    return Dataset(
        name=data_set.name,
        digest=digest[:_DIGEST_CHARACTERS],
        source_type="service",
        source=orjson.dumps({"name": data_set.name, "sha256": data_set.sha256}).decode(),
        schema=schema,
        profile=profile.decode(),
    )
