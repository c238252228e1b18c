"""The values of the domain."""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

from service.common.search import SearchState
from service.common.traffic import Traffic

T = TypeVar("T")

NAME = r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}"
"""The names of data sets; without `.` and `..`, which are folders in a path."""

MODEL_NAME = r"(?=[\s\S]*\S)(?!\.$)(?!\.\.)[^/:]{1,256}"
"""The names of models: whatever MLflow takes, since others register models too."""

NEW_MODEL_NAME = r"[A-Za-z0-9_-]{1,128}"
"""The names of models that are trained here: MLflow registers none with a dot in its name."""

NEXT_PAGE = r"[1-9][0-9]{0,8}"
"""A page token: the offset of the next page."""

BUILT_IN_DATA_SETS = ("breast_cancer", "digits", "iris", "wine")
"""Data sets that scikit-learn ships; their names are reserved."""

LOG_OF_USE = "in-use"
"""The registered model whose newest version names the one in use; its name is reserved."""

Label = str | int | bool
"""A class, as the data set has it."""

RowsMedia = Literal["csv", "parquet", "arrow"]
"""The formats of a file of rows to predict."""

Fault = Literal["request", "conflict", "service"]
"""Why a training failed: by its request, a conflict with the present state, or the service."""

TrainingState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
IF_BETTER = "if-better"
"""What `use` is where a new version is put in use only if it answers better than the one in use."""

UseWish = bool | Literal["if-better"]
"""Whether the version of a training is put in use."""

Verdict = Literal["better", "not better", "incomparable"]

OPEN_STATES: tuple[TrainingState, ...] = ("queued", "running")

FIRST_ARTIFACTS = ("schema.json", "model.onnx", "model.skops", "golden.npz")
"""The files that a version of every release may have; a native one has no `model.onnx`."""

ARTIFACTS = (*FIRST_ARTIFACTS, "reference.json")
"""The files of a version that was trained here; those of older releases have no reference."""


def spelling(value: object) -> str:
    """Write a label or a value as text, booleans as JSON does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_name(text: str) -> bool:
    """Return whether it is a valid name of a data set."""
    return re.fullmatch(NAME, text) is not None


def is_model_name(text: str) -> bool:
    """Return whether MLflow may hold a model of that name."""
    return re.fullmatch(MODEL_NAME, text) is not None


def is_new_model_name(text: str) -> bool:
    """Return whether it is a valid name of a model that is trained here."""
    return re.fullmatch(NEW_MODEL_NAME, text) is not None and text != LOG_OF_USE


def _identity(run_id: str, digest: str, created_at: float) -> str:
    """Return a digest of what a version keeps when its model is renamed, and no other one has.

    A copy of a version has its run and its digest, and was registered at another time.
    """
    kept = f"{run_id} {digest} {round(created_at * 1000)}"
    return hashlib.sha256(kept.encode()).hexdigest()[:32]


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
    """Sorted; empty where they were not asked for."""
    refusal: str | None = None
    """Why it can never be served, according to its record; None where there is no reason."""
    follow_error: str = ""
    """Why it was not put in use when an alias that is followed named it; empty: no such reason."""

    @property
    def foreign(self) -> bool:
        """Whether it was not trained here, and has neither digests nor a schema."""
        return "schema.json" not in self.sha256

    @property
    def digest(self) -> str:
        """The digest of the artifact that serves it."""
        return self.sha256.get("model.onnx") or self.sha256.get("model.skops", "")

    @property
    def identity(self) -> str:
        """What it keeps when its model is renamed, and no other version has."""
        return _identity(self.run_id, self.digest, self.created_at)


@dataclass(frozen=True, slots=True)
class Use:
    """One entry of the log of use: the version that is in use from this epoch on."""

    epoch: int
    name: str
    """The model's name when the entry was made; it may have been renamed since."""
    version: int
    sha256: str
    by: str
    at: float
    """Seconds since 1970."""
    run_id: str = ""
    created_at: float = 0.0
    """When the version was registered; 0 in an entry that was made by hand, or by an older
    release."""
    follows: str = ""
    """The alias of the model that is followed from this epoch on; empty: none."""
    traffic: Traffic | None = None
    """The second version beside it from this epoch on; None where there is none."""
    decision: str = ""
    """What was decided by the rules of the traffic before, with its figures; empty: nothing."""

    @classmethod
    def begin(
        cls,
        epoch: int,
        version: Version,
        by: str,
        at: float,
        follows: str = "",
        traffic: Traffic | None = None,
        decision: str = "",
    ) -> Self:
        """Make the entry of a version."""
        return cls(
            epoch,
            version.name,
            version.version,
            version.digest,
            by,
            at,
            version.run_id,
            version.created_at,
            follows,
            traffic,
            decision,
        )

    @property
    def second(self) -> Self | None:
        """The entry as if it were about its second version; None where it has none."""
        if self.traffic is None:
            return None
        return replace(
            self,
            name=self.traffic.name,
            version=self.traffic.version,
            sha256=self.traffic.sha256,
            run_id=self.traffic.run_id,
            created_at=self.traffic.created_at,
            traffic=None,
        )

    def identified(self, version: Version) -> Self:
        """Add the identity of its version to an entry, which may have been made without one."""
        return replace(
            self,
            name=version.name,
            version=version.version,
            sha256=version.digest,
            run_id=version.run_id,
            created_at=version.created_at,
        )

    def is_of(self, version: Version) -> bool:
        """Return whether the entry is about this version, whatever its model is called now."""
        if not self.created_at:
            named = (self.name, self.version) == (version.name, version.version)
            return named and self.sha256 in ("", version.digest)
        return _identity(self.run_id, self.sha256, self.created_at) == version.identity


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was decided about rows, or a column of them, for their owner to know."""

    column: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a new version and the one in use answered the same held-out rows."""

    rows: int
    new: Mapping[str, float]
    """The metrics of the new version."""
    verdict: Verdict
    in_use: Mapping[str, float] | None = None
    """The metrics of the version in use; None, as is what follows, where it was not asked."""
    only_new_right: int | None = None
    """Rows that only the new version answered right."""
    only_in_use_right: int | None = None
    p_value: float | None = None
    """Of McNemar's exact test: how likely a difference as large is between equal versions."""


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
    comparison: Comparison | None = None
    """With the version that was in use, where that was asked for."""
    search: SearchState | None = None
    """How far its search has come; None where it has none."""
    data_set: str = ""
    owner: str = ""
    """The id of the replica that runs it."""
    beat_at: float = 0.0
    """The owner's last heartbeat, in seconds since 1970."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state not in OPEN_STATES

    def closed(self, state: TrainingState, error: str, fault: Fault | None = None) -> Self:
        """Return it as it is recorded by a replica that does not run it, and finds it open."""
        search = None if self.search is None else self.search.ended()
        return replace(
            self, state=state, finished_at=time.time(), error=error, fault=fault, search=search
        )


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
    bytes: int = 0  # Of its Parquet file; 0 in a record of an older release.


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
