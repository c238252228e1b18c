"""Uploaded data sets: MLflow runs, each with a Parquet file."""

import hashlib
import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import orjson

from service.common.domain import DataSet
from service.common.errors import DataSetBusy, DataSetNotFound, ServiceError, clip
from service.registry.connection import RegistryPart
from service.registry.download import NotFetchable
from service.registry.trainings import as_input

logger = logging.getLogger(__name__)

ROWS = "rows.parquet"
_UPLOADED = "uploaded_at"
"""Tag: when the same rows were uploaded last; the run's start is when they were first."""
_APPENDING = "appending"
"""Tag: the name of the data set to whose rows others were added."""
_APPENDED_BY = "appended_by"
"""Tag: the key of the request that added them."""
_APPENDING_SECONDS = 600
"""How long one that appends is waited for; then its process is taken for gone."""
_OLD_RECORD = "dataset.json"
"""The artifact in which version 0.1.0 kept the record."""
_CONVERTED_AT_ONCE = 20
"""Old records that one listing converts, each with calls of its own."""


class MlflowDataSets(RegistryPart):
    """The port `DataSets` over one connection.

    A run's record is the profile of its input, which MLflow returns with the run: listing takes one
    call for a thousand runs, and no artifact.
    """

    runs_at_once = 1000
    """The number of runs that are read with one call."""

    def add_data_set(self, data_set: DataSet, parquet: Path) -> DataSet:
        """Keep the rows; the same content under the same name again changes nothing."""
        try:
            newest = self.get_data_set(data_set.name)
        except DataSetNotFound:
            newest = None
        if newest and _content(newest) == _content(data_set):
            with self._connection.calls():
                self._client.set_tag(newest.id, _UPLOADED, f"{time.time():.3f}")
            return newest
        run = self._upload(data_set, parquet, {})
        self._publish(run, data_set.name)
        return _of_run(run, data_set)

    def _upload(self, data_set: DataSet, parquet: Path, more: Mapping[str, str]) -> Any:
        """Upload the rows and their record; nobody finds them before they are published."""
        with self._connection.calls():
            run = self._client.create_run(
                self._connection.experiment("datasets"),
                run_name=data_set.name,
                tags={
                    "sha256": data_set.sha256,
                    "rows": str(data_set.rows),
                    "columns": str(len(data_set.columns)),
                    "target": data_set.target or "",
                    **more,
                },
            )
            self._write_rows(run, parquet)
            self._log_record(run.info.run_id, data_set)
        return run

    def _write_rows(self, run: Any, parquet: Path) -> None:
        with tempfile.TemporaryDirectory(dir=parquet.parent) as name:
            path = Path(name) / ROWS
            try:
                # A second name, which takes no space and is gone before anybody changes the file.
                os.link(parquet, path)
            except OSError:  # A file system without links.
                shutil.copyfile(parquet, path)
            try:
                self._connection.source(run.info.artifact_uri).write(path, "")
            except NotFetchable:
                self._client.log_artifact(run.info.run_id, str(path))

    def _publish(self, run: Any, name: str) -> None:
        with self._connection.calls():
            # The tag by which it is found comes last, so that a partial upload is never found.
            self._client.set_tag(run.info.run_id, "data_set", name)
            self._client.set_terminated(run.info.run_id)

    def append_rows(self, data_set: DataSet, parquet: Path, base: DataSet, key: str) -> DataSet:
        """Keep the rows of `base` with others behind them, as the next content of its name.

        MLflow has no compare-and-set. So each that appends announces itself first and looks around
        then: of two at one time, at least one sees the other, and gives way. Raises DataSetBusy.
        """
        name = data_set.name
        run = self._upload(data_set, parquet, {_APPENDED_BY: key})
        try:
            with self._connection.calls():
                self._client.set_tag(run.info.run_id, _APPENDING, name)
            since = int((run.info.start_time / 1000 - _APPENDING_SECONDS) * 1000)
            recent = f"attributes.start_time > {since}"
            # In this order: one that is published in between is seen as the newest.
            announced = self._runs(f"tags.{_APPENDING} = '{name}' and {recent}")
            others = [
                one
                for one in announced
                if "data_set" not in one.data.tags and one.info.run_id != run.info.run_id
            ]
            newest = self._runs(f"tags.data_set = '{name}'", 1)
            if others or [one.info.run_id for one in newest] != [base.id]:
                raise DataSetBusy(name)
        except ServiceError:
            self._withdraw(run, name)
            raise
        self._publish(run, name)
        return _of_run(run, data_set)

    def _withdraw(self, run: Any, name: str) -> None:
        """Delete rows that were not published; what fails is left, and nobody finds it."""
        with suppress(ServiceError), self._connection.calls(DataSetNotFound(name)):
            self._client.delete_run(run.info.run_id)
            self._delete_rows(run, name)

    def appended_by(self, name: str, key: str) -> DataSet | None:
        """Return the content of a data set that the request of this key made; None if none did."""
        runs = self._runs(f"tags.data_set = '{name}' and tags.{_APPENDED_BY} = '{key}'", 1)
        return _read(runs[0]) if runs else None

    def _log_record(self, identifier: str, data_set: DataSet) -> None:
        from mlflow.entities import DatasetInput

        record = orjson.dumps(asdict(data_set))
        # MLflow keeps inputs of one name and digest once: the digest is that of the whole record.
        dataset = as_input(data_set, hashlib.sha256(record).hexdigest(), record)
        self._client.log_inputs(identifier, datasets=[DatasetInput(dataset)])

    def get_data_set(self, name: str) -> DataSet:
        """Return the newest of that name; raises DataSetNotFound."""
        runs = self._runs(f"tags.data_set = '{name}'", 1)
        data_set = (_read(runs[0]) or self._convert(runs[0])) if runs else None
        if data_set is None:
            raise DataSetNotFound(name)
        return data_set

    def list_data_sets(self) -> Sequence[DataSet]:
        """Return the newest of each name, by name, without those whose record is unreadable."""
        newest: dict[str, Any] = {}
        for run in self._runs("tags.data_set != ''"):
            newest.setdefault(run.data.tags["data_set"], run)
        data_sets: list[DataSet] = []
        conversions = 0
        for name in sorted(newest):
            data_set = _read(newest[name])
            if data_set is None and conversions < _CONVERTED_AT_ONCE:
                conversions += 1
                data_set = self._convert(newest[name])
            if data_set is not None:
                data_sets.append(data_set)
            else:
                logger.warning("data set %s has no readable record: not listed", clip(name))
        return data_sets

    def _convert(self, run: Any) -> DataSet | None:
        """Return a run of version 0.1.0 its record; return None where it has none."""
        identifier = run.info.run_id
        try:
            with self._connection.calls(), tempfile.TemporaryDirectory() as name:
                if not any(
                    item.path == _OLD_RECORD for item in self._client.list_artifacts(identifier)
                ):
                    return None
                path = self._client.download_artifacts(identifier, _OLD_RECORD, name)
                data_set = msgspec.json.decode(Path(path).read_bytes(), type=DataSet)
                self._log_record(identifier, data_set)
        except msgspec.DecodeError:
            return None
        return _of_run(run, data_set)

    def fetch_data_set(self, data_set: DataSet, folder: Path) -> Path:
        """Download the rows below `folder`; return the Parquet file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ROWS
        with self._connection.calls(DataSetNotFound(data_set.name)):
            run = self._client.get_run(data_set.id)
            try:
                source = self._connection.source(run.info.artifact_uri)
            except NotFetchable:
                return Path(self._client.download_artifacts(data_set.id, ROWS, str(folder)))
            if not source.has(ROWS):
                raise DataSetNotFound(data_set.name)
            with path.open("wb") as file:
                for part in source.read(ROWS, data_set.bytes):
                    file.write(part)
        return path

    def delete_data_set(self, name: str) -> None:
        """Delete all of that name; raises DataSetNotFound."""
        runs = self._runs(f"tags.data_set = '{name}'")
        if not runs:
            raise DataSetNotFound(name)
        with self._connection.calls(DataSetNotFound(name)):
            for run in runs:
                self._client.delete_run(run.info.run_id)

    def old_data_sets(self, before: float) -> Sequence[DataSet]:
        """Return all that were uploaded last before then, older ones of a name too; no columns."""
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
            for run in self._runs("tags.data_set != ''")
            if _uploaded_at(run) < before
        ]

    def delete_rows(self, data_set: DataSet, before: float) -> None:
        """Delete one with its rows, permanently, unless it was uploaded again since then.

        The run goes first, so that it is never found without its rows; MLflow keeps its record.
        """
        with self._connection.calls(DataSetNotFound(data_set.name)):
            run = self._client.get_run(data_set.id)
            if run.info.lifecycle_stage != "active" or _uploaded_at(run) >= before:
                return
            self._client.delete_run(data_set.id)
            self._delete_rows(run, data_set.name)

    def _delete_rows(self, run: Any, name: str) -> None:
        try:
            self._connection.source(run.info.artifact_uri).delete(ROWS)
        except NotFetchable:
            logger.warning(
                "the rows of %s are outside of MLflow's storage and are not deleted", name
            )

    def _runs(self, wanted: str, most: int | None = None) -> Sequence[Any]:
        """Return runs, the newest first: all of them, or the first `most`."""
        runs: list[Any] = []
        token: str | None = None
        while True:
            at_once = most or self.runs_at_once
            page = self._connection.search_runs("datasets", wanted, at_once, token)
            runs.extend(page)
            token = page.token
            if most is not None or not token:
                return runs


def _content(data_set: DataSet) -> tuple[object, ...]:
    return data_set.sha256, data_set.target, data_set.notes


def _read(run: Any) -> DataSet | None:
    """Return a run's data set, or None where its record is missing or unreadable."""
    for item in run.inputs.dataset_inputs:
        try:
            return _of_run(run, msgspec.json.decode(item.dataset.profile or "", type=DataSet))
        except msgspec.DecodeError:
            continue
    return None


def _of_run(run: Any, data_set: DataSet) -> DataSet:
    return replace(data_set, id=run.info.run_id, created_at=run.info.start_time / 1000)


def _uploaded_at(run: Any) -> float:
    """Return when a data set was uploaded last, in seconds since 1970."""
    try:
        again = float(run.data.tags.get(_UPLOADED, 0))
    except ValueError:
        again = 0.0
    first: float = run.info.start_time / 1000
    return max(first, again) if math.isfinite(again) else first
