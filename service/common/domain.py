"""The values of the domain, and the ports that the registry implements."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

T = TypeVar("T")

NAME = r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}"
"""The names of models and data sets; without `.` and `..`, which are folders in a path."""

NEW_MODEL_NAME = r"[A-Za-z0-9_-]{1,128}"
"""The names of models that are trained here: MLflow registers none with a dot in its name."""

NEXT_PAGE = r"[1-9][0-9]{0,8}"
"""A page token: the offset of the next page."""

BUILT_IN_DATA_SETS = ("breast_cancer", "digits", "iris", "wine")
"""Data sets that scikit-learn ships; their names are reserved."""

LOG_OF_USE = "in-use"
"""The registered model whose newest version names the one in use; its name is reserved."""

RowsMedia = Literal["csv", "parquet", "arrow"]
"""The formats of a file of rows to predict."""

Fault = Literal["request", "conflict", "service"]
"""Why a training failed: by its request, a conflict with the present state, or the service."""

TrainingState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
OPEN_STATES: tuple[TrainingState, ...] = ("queued", "running")

ARTIFACTS = ("schema.json", "model.onnx", "model.skops", "golden.npz")
"""The files of a version that was trained here; a native one has no `model.onnx`."""


def is_name(text: str) -> bool:
    """Return whether it is a valid name of a data set, or of a model other than the log of use."""
    return re.fullmatch(NAME, text) is not None


def is_new_model_name(text: str) -> bool:
    """Return whether it is a valid name of a model that is trained here."""
    return re.fullmatch(NEW_MODEL_NAME, text) is not None and text != LOG_OF_USE


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model, as MLflow holds it."""

    name: str
    version: int
    created_at: float
    """Seconds since 1970."""
    run_id: str = ""
    model_type: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The parameters in the request for the training."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    """The digest of each artifact, recorded when it was made; empty for a foreign version."""
    aliases: tuple[str, ...] = ()
    refusal: str | None = None
    """Why it can never be served, according to its record; None where there is no reason."""

    @property
    def foreign(self) -> bool:
        """Whether it was not trained here, and has neither digests nor a schema."""
        return "schema.json" not in self.sha256

    @property
    def digest(self) -> str:
        """The digest of the artifact that serves it."""
        return self.sha256.get("model.onnx") or self.sha256.get("model.skops", "")


@dataclass(frozen=True, slots=True)
class Use:
    """One entry of the log of use: the version that is in use from this epoch on."""

    epoch: int
    name: str
    version: int
    sha256: str
    by: str
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was decided about rows, or a column of them, for their owner to know."""

    column: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Training:
    """One run of `/train`, whether it succeeded or not."""

    id: str
    state: TrainingState
    created_at: float
    name: str = ""
    model_type: str = ""
    stage: str = ""
    progress: float = 0.0
    """From 0 to 1."""
    finished_at: float | None = None
    error: str | None = None
    fault: Fault | None = None
    version: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    used: bool = False
    """Whether every replica confirmed that its version is in use."""
    missing: tuple[str, ...] = ()
    """The replicas that did not confirm its version, where it was put in use."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    data_set: str = ""
    owner: str = ""
    """The id of the replica that runs it."""
    beat_at: float = 0.0
    """The owner's last heartbeat, in seconds since 1970."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state not in OPEN_STATES


@dataclass(frozen=True, slots=True)
class DataSet:
    """Rows kept under a name; the newest of a name is used."""

    name: str
    sha256: str
    rows: int
    columns: tuple[Mapping[str, Any], ...]
    """Each has `name`, `type` and the number of `missing` values."""
    target: str | None
    created_at: float
    id: str = ""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list, and the token of the next one."""

    items: Sequence[T]
    next_page_token: str | None = None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version that a training registers."""

    name: str
    model_type: str
    run_id: str
    folder: Path
    """Has `ARTIFACTS`, and any other files of the version."""
    sha256: Mapping[str, str]
    params: Mapping[str, Any]
    """The parameters in the request for the training."""
    metrics: Mapping[str, float]
    features: Sequence[tuple[str, str]]
    """Name and type of each, for MLflow's signature."""


class Versions(Protocol):
    """Models and their versions. Every method raises RegistryUnavailable when MLflow is down."""

    def list_versions(self, name: str | None, limit: int, page_token: str | None) -> Page[Version]:
        """Return versions, the newest first; raises InvalidRequest for an invalid token."""

    def get_version(self, name: str, version: int) -> Version:
        """Return one; raises ModelNotFound or VersionNotFound."""

    def newest_version(self, name: str) -> Version:
        """Return the one with the highest number; raises ModelNotFound."""

    def version_of_alias(self, name: str, alias: str) -> Version:
        """Return the one that an alias names; raises ModelNotFound or AliasNotFound."""

    def add_version(self, new: NewVersion) -> Version:
        """Upload the artifacts and register them."""

    def reach_storage(self) -> None:
        """Check that artifacts can be read; raises RegistryUnavailable soon if not."""

    def fetch(self, version: Version, folder: Path) -> Path:
        """Download the artifacts below `folder`; return the folder that holds them."""

    def delete_version(self, name: str, version: int) -> None:
        """Delete one; raises ModelNotFound or VersionNotFound."""


class Uses(Protocol):
    """The log of use."""

    def newest_use(self) -> Use | None:
        """Return the newest entry that counts, or None before the first."""

    def commit_use(self, version: Version, by: str, expected_epoch: int | None = None) -> Use:
        """Append an entry: this is the change. Its epoch is higher than all before it.

        With `expected_epoch` it counts only if that is the newest epoch; raises EpochConflict.
        """

    def claim(self, name: str) -> bool:
        """Register a model without a version; return False where it is registered already."""


class Trainings(Protocol):
    """The record of trainings."""

    def open_training(self, training: Training, details: Mapping[str, str]) -> Training:
        """Record a new one; return it with the id that it got."""

    def update_training(self, training: Training) -> None:
        """Record its state, stage, progress and beat."""

    def beat(self, identifier: str, at: float) -> None:
        """Record that its owner still runs it, without any other change."""

    def record_result(
        self,
        training: Training,
        params: Mapping[str, str],
        data_set: DataSet,
        files: Path | None,
    ) -> None:
        """Record parameters, metrics, the data set as an input, and the files as artifacts."""

    def close_training(self, training: Training) -> None:
        """Record its end."""

    def training_of_key(self, key: str) -> tuple[Training, str] | None:
        """Return the newest training whose details hold this `idempotency_key`, and its `request`.

        One that failed by the service's fault does not count, so that a repeated request is tried.
        """

    def get_training(self, identifier: str) -> Training:
        """Return one; raises TrainingNotFound."""

    def list_trainings(self, limit: int, page_token: str | None) -> Page[Training]:
        """Return trainings, the newest first."""

    def open_trainings(self) -> Sequence[Training]:
        """Return those that have not ended."""

    def failed_trainings(self, before: float) -> Sequence[Training]:
        """Return those that began before then, and failed or were cancelled."""

    def trainings_on(self, data_set: DataSet) -> Sequence[Training]:
        """Return those on these rows, and those that have not recorded their rows yet."""

    def delete_training(self, identifier: str) -> None:
        """Mark the run as deleted, for `mlflow gc` to free; raises TrainingNotFound."""


class DataSets(Protocol):
    """Uploaded data sets."""

    def add_data_set(self, data_set: DataSet, parquet: Path) -> DataSet:
        """Keep the rows; the same content under the same name again changes nothing."""

    def get_data_set(self, name: str) -> DataSet:
        """Return the newest of that name; raises DataSetNotFound."""

    def list_data_sets(self) -> Sequence[DataSet]:
        """Return the newest of each name, by name, without those whose record is unreadable."""

    def fetch_data_set(self, data_set: DataSet, folder: Path) -> Path:
        """Download the rows below `folder`; return the Parquet file."""

    def delete_data_set(self, name: str) -> None:
        """Delete all of that name; raises DataSetNotFound."""

    def old_data_sets(self, before: float) -> Sequence[DataSet]:
        """Return all that were uploaded last before then, older ones of a name too; no columns."""

    def delete_rows(self, data_set: DataSet, before: float) -> None:
        """Delete one with its rows, permanently, unless it was uploaded again since then."""


class Registry(Versions, Uses, Trainings, DataSets, Protocol):
    """All that is kept in MLflow."""

    def close(self) -> None:
        """Close the connection."""
