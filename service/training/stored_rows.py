"""Rows that are stored as a data set, and are too many to be read at the request for a training.

The training's job reads them from its folder: it runs wherever they have been fetched to.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from service.common.domain import DataSet, Note
from service.common.ports import DataSets
from service.processes.job_files import STORED
from service.processes.limits import JobLimits
from service.training.spec import TrainingSpec

FETCHING = "fetching rows"
"""The stage of a training meanwhile."""


def fetch_rows(data_sets: DataSets, spec: TrainingSpec, tell: Callable[[], None]) -> None:
    """Fetch what the folder of a training lacks of its rows; `tell` is called before.

    Raises DataSetNotFound or RegistryUnavailable.
    """
    if spec.rows_are_stored:
        tell()
        data_sets.fetch_data_set(spec.data_set, spec.folder).rename(spec.folder / STORED)


def limits_beside(spec: TrainingSpec, limits: JobLimits) -> JobLimits:
    """Return what the job of a training may take: stored rows in its folder are not its own."""
    if not spec.rows_are_stored:
        return limits
    return replace(limits, disk_bytes=limits.disk_bytes + spec.data_set.bytes)


def data_set_read(result: Mapping[str, Any]) -> DataSet | None:
    """Return the data set of a training as its job has read it; None where it had been before."""
    described = result.get("data_set")
    return None if described is None else data_set_of(described)


def data_set_of(described: Mapping[str, Any]) -> DataSet:
    """Return the data set that a worker has described."""
    return DataSet(
        name=described["name"],
        sha256=described["sha256"],
        rows=described["rows"],
        columns=tuple(described["columns"]),
        target=described["target"],
        created_at=time.time(),
        notes=tuple(Note(**note) for note in described["notes"]),
    )
