"""A training whose request and rows were checked: what it is told, and where its files are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import msgspec

from service.common.domain import DataSet, NewVersion, UseWish
from service.common.search import SearchState
from service.processes import job_files as files
from service.processes.limits import JobLimits


def told_limits(limits: JobLimits) -> dict[str, Any]:
    """Return what a job that plans a training is told of what that may take."""
    return {"training_seconds": limits.seconds, "training_memory": limits.memory_bytes}


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """A training whose request and rows were checked."""

    name: str
    model_type: str
    data_set: DataSet
    use: UseWish
    folder: Path
    """Holds the rows that the check wrote; removed at the end."""
    request: str = ""
    """The request in full, as the worker that checked it wrote it, for the one that trains."""
    refit: bool = False
    """Whether it is fitted again, on all rows, after it was measured."""
    search: SearchState | None = None
    """Where it begins with a search: the state before that."""
    parallel: int = 1
    """The trials of its search that run at the same time."""
    rows_are_stored: bool = False
    """Whether the folder has no rows yet: those of `data_set` are fetched where the job runs."""
    only_first: bool = False
    """Whether it is put in use only if no model is."""

    def job(self, limits: JobLimits) -> dict[str, Any]:
        """Return what the job that trains is told; `limits`: what the training may take."""
        told = {"request": self.request, **told_limits(limits)}
        return {**told, "data_set": self.data_set.name} if self.rows_are_stored else told

    def version_of(self, training: str, result: Mapping[str, Any]) -> NewVersion:
        """Return what is registered of the result of the job."""
        return NewVersion(
            name=self.name,
            model_type=result["model_type"],
            run_id=training,
            folder=self.folder / files.VERSION,
            sha256=result["sha256"],
            params=result["chosen"],
            metrics=result["metrics"],
            features=[(name, kind) for name, kind in result["features"]],
        )

    def to_json(self) -> bytes:
        """Write it for another process, which has the files in a folder of its own."""
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def from_json(cls, text: bytes, folder: Path) -> Self:
        """Read it; raises msgspec.DecodeError."""
        spec = msgspec.json.decode(text, type=cls, dec_hook=lambda _, value: Path(value))
        return replace(spec, folder=folder)
