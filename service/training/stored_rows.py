"""Rows that are stored as a data set, and are too many to be read at the request for a training.

The training's job reads them from its folder, so it runs wherever that has been filled.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.common.domain import DataSet, Note
from service.common.ports import DataSets
from service.processes.limits import JobLimits

TABLE_ROWS: Mapping[str, Any] = {"rows": "table"}
"""What the job "train" is told where its folder has the rows as they were checked."""


def fetch_rows(registry: DataSets, data_set: DataSet, folder: Path) -> dict[str, Any]:
    """Fetch stored rows to a training's folder; return what its job is told of them."""
    path = registry.fetch_data_set(data_set, folder)
    return {"rows": "data_set", "data_set": {"name": data_set.name, "file": path.name}}


def limits_beside(rows: DataSet, limits: JobLimits) -> JobLimits:
    """Return what a job may take whose folder has stored rows, and may get them once more."""
    return replace(limits, disk_bytes=limits.disk_bytes + 2 * rows.bytes)


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
