"""Trainings and versions in a registry, and what others do to versions in MLflow."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path

from service.common.domain import NewVersion, Training, Version
from service.common.ports import Registry
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.fakes import FakeRegistry


def open_training(registry: Registry, **changes: object) -> Training:
    """Record a training that waits."""
    training = Training(
        id="",
        state="queued",
        created_at=time.time(),
        name="m",
        model_type="SVC",
        stage="waiting",
        data_set="rows",
        owner="me",
        beat_at=12.5,
    )
    return registry.open_training(replace(training, **changes), {})  # type: ignore[arg-type]


def add_version(registry: Registry, folder: Path, name: str) -> Version:
    """Register a version whose files, made in `folder`, are no model."""
    training = open_training(registry, name=name)
    (folder / "schema.json").write_bytes(b"{}")
    (folder / "model.onnx").write_bytes(b"graph")
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
    }
    new = NewVersion(
        name=name,
        model_type="SVC",
        run_id=training.id,
        folder=folder,
        sha256=digests,
        params={"C": 2.0},
        metrics={"accuracy": 0.75},
        features=[("a", "number"), ("b", "text"), ("c", "boolean")],
    )
    return registry.add_version(new)


def tags_of(registry: MlflowRegistry, version: Version) -> dict[str, str]:
    """Return the tags of a version in MLflow."""
    found = registry._client.get_model_version(version.name, str(version.version))
    return dict(found.tags)


def rename_model(registry: Registry, name: str, new_name: str) -> None:
    """Rename a model as somebody does on MLflow's page."""
    if isinstance(registry, FakeRegistry):
        registry.rename_model(name, new_name)
    else:
        assert isinstance(registry, MlflowRegistry)
        registry._client.rename_registered_model(name, new_name)


def set_alias(registry: Registry, name: str, alias: str, version: int) -> None:
    """Set or move an alias as somebody does on MLflow's page."""
    if isinstance(registry, FakeRegistry):
        registry.aliases[name, alias] = version
    else:
        assert isinstance(registry, MlflowRegistry)
        registry._client.set_registered_model_alias(name, alias, str(version))


def delete_alias(registry: Registry, name: str, alias: str) -> None:
    """Delete an alias as somebody does on MLflow's page."""
    if isinstance(registry, FakeRegistry):
        del registry.aliases[name, alias]
    else:
        assert isinstance(registry, MlflowRegistry)
        registry._client.delete_registered_model_alias(name, alias)


def delete_model(registry: Registry, name: str) -> None:
    """Delete a model with its versions as somebody does on MLflow's page."""
    if isinstance(registry, FakeRegistry):
        registry.delete_model(name)
    else:
        assert isinstance(registry, MlflowRegistry)
        registry._client.delete_registered_model(name)
