"""Uploaded data sets as MLflow runs that hold a Parquet file."""

import logging
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import orjson

from service.common.domain import DataSet
from service.common.errors import DataSetNotFound
from service.registry.connection import Connection
from service.registry.download import NotFetchable

logger = logging.getLogger(__name__)

ROWS = "rows.parquet"
_RECORD = "dataset.json"
_MOST_KNOWN = 200
_UPLOADED = "uploaded_at"
"""When the same rows came again; the run's start says when they came first."""


class MlflowDataSets:
    """The port `DataSets` over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client
        self._known: dict[str, DataSet] = {}

    def add_data_set(self, data_set: DataSet, parquet: Path) -> DataSet:
        """Keep the rows; the same content under the same name again changes nothing."""
        try:
            newest = self.get_data_set(data_set.name)
        except DataSetNotFound:
            newest = None
        if newest and (newest.sha256, newest.target) == (data_set.sha256, data_set.target):
            with self._connection.calls():
                self._client.set_tag(newest.id, _UPLOADED, f"{time.time():.3f}")
            return newest
        with self._connection.calls(), tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            shutil.copy(parquet, folder / ROWS)
            (folder / _RECORD).write_bytes(orjson.dumps(asdict(data_set)))
            run = self._client.create_run(
                self._connection.experiment("datasets"),
                run_name=data_set.name,
                tags={
                    "sha256": data_set.sha256,
                    "rows": str(data_set.rows),
                    "columns": str(len(data_set.columns)),
                    "target": data_set.target or "",
                },
            )
            self._client.log_artifacts(run.info.run_id, name)
            # The tag by which it is found comes last: half an upload is never found.
            self._client.set_tag(run.info.run_id, "data_set", data_set.name)
            self._client.set_terminated(run.info.run_id)
        return self._keep(replace(data_set, id=run.info.run_id))

    def get_data_set(self, name: str) -> DataSet:
        """Give the newest of that name; raises DataSetNotFound."""
        runs = self._runs(f"tags.data_set = '{name}'", 1)
        if not runs:
            raise DataSetNotFound(name)
        return self._read(runs[0])

    def list_data_sets(self) -> Sequence[DataSet]:
        """Give the newest of each name, by name."""
        newest: dict[str, Any] = {}
        for run in self._runs("tags.data_set != ''", 10_000):
            newest.setdefault(run.data.tags["data_set"], run)
        return [self._read(newest[name]) for name in sorted(newest)]

    def fetch_data_set(self, data_set: DataSet, folder: Path) -> Path:
        """Download the rows below `folder`; give the Parquet file."""
        folder.mkdir(parents=True, exist_ok=True)
        with self._connection.calls(DataSetNotFound(data_set.name)):
            return Path(self._client.download_artifacts(data_set.id, ROWS, str(folder)))

    def delete_data_set(self, name: str) -> None:
        """Delete all of that name; raises DataSetNotFound."""
        runs = self._runs(f"tags.data_set = '{name}'", 10_000)
        if not runs:
            raise DataSetNotFound(name)
        with self._connection.calls(DataSetNotFound(name)):
            for run in runs:
                self._client.delete_run(run.info.run_id)

    def old_data_sets(self, before: float) -> Sequence[DataSet]:
        """Give all that were uploaded last before then, older ones of a name too; no columns."""
        return [
            DataSet(
                name=run.data.tags["data_set"],
                sha256=run.data.tags.get("sha256", ""),
                rows=0,
                columns=(),
                target=None,
                created_at=run.info.start_time / 1000,
                id=run.info.run_id,
            )
            for run in self._runs("tags.data_set != ''", 10_000)
            if _uploaded_at(run) < before
        ]

    def delete_rows(self, data_set: DataSet, before: float) -> None:
        """Delete one with its rows, for good, unless it was uploaded again since then.

        The run goes first, so that nobody finds it without its rows; MLflow keeps its record.
        """
        with self._connection.calls(DataSetNotFound(data_set.name)):
            run = self._client.get_run(data_set.id)
            if run.info.lifecycle_stage != "active" or _uploaded_at(run) >= before:
                return
            self._client.delete_run(data_set.id)
            try:
                self._connection.source(run.info.artifact_uri).delete(ROWS)
            except NotFetchable:
                logger.warning("the rows of %s lie elsewhere and are not deleted", data_set.name)

    def _runs(self, wanted: str, most: int) -> Sequence[Any]:
        with self._connection.calls():
            found: Sequence[Any] = self._client.search_runs(
                [self._connection.experiment("datasets")],
                filter_string=wanted,
                max_results=most,
                order_by=["attributes.start_time DESC"],
            )
        return found

    def _read(self, run: Any) -> DataSet:
        identifier = run.info.run_id
        known = self._known.get(identifier)
        if known is None:
            with self._connection.calls(), tempfile.TemporaryDirectory() as name:
                path = self._client.download_artifacts(identifier, _RECORD, name)
                record = msgspec.json.decode(Path(path).read_bytes(), type=DataSet)
            created_at = run.info.start_time / 1000
            known = self._keep(replace(record, id=identifier, created_at=created_at))
        return known

    def _keep(self, data_set: DataSet) -> DataSet:
        while len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[data_set.id] = data_set
        return data_set


def _uploaded_at(run: Any) -> float:
    """Give when a data set was uploaded last, in seconds since 1970."""
    try:
        again = float(run.data.tags.get(_UPLOADED, 0))
    except ValueError:
        again = 0.0
    first: float = run.info.start_time / 1000
    return max(first, again) if math.isfinite(again) else first
