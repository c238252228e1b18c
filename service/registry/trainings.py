"""Trainings as MLflow runs."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import msgspec
import orjson

from service.common.domain import OPEN_STATES, DataSet, Fault, Note, Page, Training, TrainingState
from service.common.errors import TrainingNotFound
from service.registry.connection import RegistryPart, checked_page_token, page_token_of
from service.registry.mlmodel import TYPES

_STATUS: dict[TrainingState, str] = {
    "queued": "SCHEDULED",
    "running": "RUNNING",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
}
_FAULTS: dict[str, Fault] = {name: name for name in get_args(Fault)}
_LONGEST_TAG = 5000
"""Characters that MLflow keeps of a tag."""
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
                run_name=f"{training.name} {training.model_type}",
                tags={**_tags(training), **details},
            )
        return replace(training, id=run.info.run_id, created_at=run.info.start_time / 1000)

    def update_training(self, training: Training) -> None:
        """Record its state, stage, progress and beat."""
        self._log_tags(training)

    def beat(self, identifier: str, at: float) -> None:
        """Record that its owner still runs it, without any other change."""
        with self._connection.calls(TrainingNotFound(identifier)):
            self._client.set_tag(identifier, "beat", f"{at:.3f}")

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

    def close_training(self, training: Training) -> None:
        """Record its end."""
        self._log_tags(training)
        ended = int((training.finished_at or time.time()) * 1000)
        with self._connection.calls(TrainingNotFound(training.id)):
            self._client.set_terminated(training.id, _STATUS[training.state], ended)

    def training_of_key(self, key: str) -> tuple[Training, str] | None:
        """Return the newest training whose details hold this `idempotency_key`, and its `request`.

        One that failed by the service's fault does not count, so that a repeated request is tried.
        """
        runs = self._connection.search_runs("trainings", f"tags.idempotency_key = '{key}'", 1)
        if not runs or runs[0].data.tags.get("fault") == "service":
            return None
        return _training(runs[0]), runs[0].data.tags.get("request", "")

    def get_training(self, identifier: str) -> Training:
        """Return one; raises TrainingNotFound."""
        if not re.fullmatch(r"[0-9a-f]{32}", identifier):
            raise TrainingNotFound(identifier)
        with self._connection.calls(TrainingNotFound(identifier)):
            run = self._client.get_run(identifier)
            experiment = self._connection.experiment("trainings")
        if run.info.experiment_id != experiment or run.info.lifecycle_stage != "active":
            raise TrainingNotFound(identifier)
        return _training(run)

    def list_trainings(self, limit: int, page_token: str | None) -> Page[Training]:
        """Return trainings, the newest first."""
        token = checked_page_token(page_token)
        runs = self._connection.search_runs("trainings", "tags.state != ''", limit, token)
        return Page([_training(run) for run in runs], page_token_of(runs))

    def open_trainings(self) -> Sequence[Training]:
        """Return those that have not ended."""
        return [
            _training(run)
            for state in OPEN_STATES
            for run in self._oldest_first(f"tags.state = '{state}'")
        ]

    def failed_trainings(self, before: float) -> Sequence[Training]:
        """Return those that began before then, and failed or were cancelled."""
        since = f"attributes.start_time < {int(before * 1000)}"
        return [
            _training(run)
            for state in ("failed", "cancelled")
            for run in self._oldest_first(f"tags.state = '{state}' and {since}")
        ]

    def trainings_on(self, data_set: DataSet) -> Sequence[Training]:
        """Return those on these rows, and those that have not recorded their rows yet."""
        digest = data_set.sha256[:_DIGEST_CHARACTERS]
        return [
            _training(run)
            for run in self._oldest_first(f"tags.data_set = '{data_set.name}'")
            if {item.dataset.digest for item in run.inputs.dataset_inputs} <= {digest}
        ]

    def _oldest_first(self, wanted: str) -> Any:
        return self._connection.search_runs("trainings", wanted, 10_000, newest_first=False)

    def delete_training(self, identifier: str) -> None:
        """Delete the run, and what it logged of a model that was never registered."""
        with self._connection.calls(TrainingNotFound(identifier)):
            models = self._client.search_logged_models(
                [self._connection.experiment("trainings")],
                filter_string=f"source_run_id = '{identifier}'",
            )
            for model in models:
                self._client.delete_logged_model(model.model_id)
            self._client.delete_run(identifier)

    def _log_tags(self, training: Training) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(key, value) for key, value in _tags(training).items()]
        with self._connection.calls(TrainingNotFound(training.id)):
            self._client.log_batch(training.id, tags=tags)


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


def _tags(training: Training) -> dict[str, str]:
    tags = {
        "state": training.state,
        "stage": training.stage,
        "progress": f"{training.progress:.3f}",
        "owner": training.owner,
        "beat": f"{training.beat_at:.3f}",
        "model": training.name,
        "model_type": training.model_type,
        "data_set": training.data_set,
        "used": str(training.used).lower(),
        "missing": " ".join(training.missing),
        "seconds": orjson.dumps(dict(training.seconds)).decode(),
        "notes": _written(training.notes),
    }
    if training.error is not None:
        tags["error"] = training.error[:2000]
    if training.fault is not None:
        tags["fault"] = training.fault
    if training.version is not None:
        tags["version"] = str(training.version)
        tags["metrics"] = orjson.dumps(dict(training.metrics)).decode()
    return tags


def _written(notes: Sequence[Note]) -> str:
    """Return as many of the notes as a tag holds."""
    for count in range(len(notes), -1, -1):
        text = orjson.dumps([asdict(note) for note in notes[:count]]).decode()
        if len(text) <= _LONGEST_TAG:
            break
    return text


def _notes(text: str | None) -> tuple[Note, ...]:
    try:
        return msgspec.json.decode(text or "[]", type=tuple[Note, ...])
    except msgspec.DecodeError:
        return ()


def _training(run: Any) -> Training:
    """Read a run; any of its tags may have been changed in MLflow's page, so none is trusted."""
    tags: Mapping[str, str] = run.data.tags
    ended = run.info.end_time
    state, version = tags.get("state", ""), tags.get("version", "")
    return Training(
        id=run.info.run_id,
        state=state if state in _STATUS else "failed",
        created_at=run.info.start_time / 1000,
        name=tags.get("model", ""),
        model_type=tags.get("model_type", ""),
        stage=tags.get("stage", ""),
        progress=min(1.0, max(0.0, _real(tags.get("progress")))),
        finished_at=ended / 1000 if ended else None,
        error=tags.get("error"),
        fault=_FAULTS.get(tags.get("fault", "")),
        version=int(version) if re.fullmatch(r"[1-9][0-9]{0,8}", version) else None,
        metrics=_reals(tags.get("metrics")),
        used=tags.get("used") == "true",
        missing=tuple(tags.get("missing", "").split()),
        seconds=_reals(tags.get("seconds")),
        notes=_notes(tags.get("notes")),
        data_set=tags.get("data_set", ""),
        owner=tags.get("owner", ""),
        beat_at=_real(tags.get("beat")),
    )


def _real(text: str | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _reals(text: str | None) -> dict[str, float]:
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(item, int | float)}
