"""What clients upload, checked in a worker process before it is used."""

import contextlib
import hashlib
import secrets
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from service.common.domain import DataSet, RowsMedia, Version
from service.common.errors import DataSetBusy, Forbidden, InvalidRequest, JobFailed
from service.common.ports import DataSets
from service.common.search import SearchState
from service.common.settings import Settings
from service.processes.job_files import ROWS, TABLE
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.schema.contract import Schema, encode
from service.training.spec import TrainingSpec, told_limits
from service.training.stored_rows import data_set_of

Media = Literal["json", "csv", "parquet"]
UploadMedia = Literal["json"] | RowsMedia
"""The formats of rows with their labels."""

_SECONDS = 60.0
_BYTES_A_SECOND = 4 * 2**20
"""How fast rows are read at least that are beyond the usual size."""
_MOST_CELLS = 30_000_000
"""Rows times columns of a data set, at least."""
_CELL_BYTES = 8
"""Of a number, decompressed."""
_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds before rows are added again where another replica adds some to the same data set."""
_LARGEST_LOOK = 8 * 2**20
_PART = 2**20


@dataclass(slots=True)
class Upload:
    """A body in a folder of its own: the file `rows`, and the `fields` of a form."""

    folder: Path
    media: Media = "json"
    form: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None
    has_file: bool = False

    @property
    def rows(self) -> Path:
        """The path of the body, or of the form's file."""
        return self.folder / ROWS

    @property
    def table(self) -> Path:
        """The path where a worker process writes the rows in their canonical form."""
        return self.folder / TABLE

    def digest(self, *more: object) -> str:
        """Return what only a request with the same rows, and the same `more`, has."""
        digest = hashlib.sha256(repr(more).encode())
        if self.rows.is_file():
            with self.rows.open("rb") as file:
                while part := file.read(_PART):
                    digest.update(part)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a training would see: the reply to a request that asks for that alone."""

    found: Mapping[str, Any]


class Uploads:
    """Makes folders for uploads, and has worker processes check them."""

    def __init__(
        self,
        data_sets: DataSets,
        workers: WorkerPool,
        work: Path,
        settings: Settings,
        limits: JobLimits,
    ) -> None:
        """`limits`: what a training may take, wherever it runs."""
        self._limits = limits
        self._data_sets = data_sets
        self._workers = workers
        self._work = work
        self._settings = settings
        self._appending = threading.Lock()
        work.mkdir(parents=True, exist_ok=True)
        # Python finds the temporary folder by writing to it, which would fail on a full disk later.
        with contextlib.suppress(FileNotFoundError):
            tempfile.gettempdir()

    def open(self) -> Upload:
        """Make the folder of an upload; `close` or the end of its training removes it."""
        # The worker process starts, if it has to, while the body arrives.
        self._workers.warm()
        folder = self._work / uuid.uuid4().hex
        folder.mkdir()
        return Upload(folder)

    def close(self, upload: Upload) -> None:
        """Remove an upload's folder."""
        shutil.rmtree(upload.folder, ignore_errors=True)

    def data_set(
        self,
        upload: Upload,
        name: str | None,
        target: str | None,
        options: Mapping[str, str],
    ) -> DataSet:
        """Read an upload as a data set; raises InvalidRequest with its problems.

        `options` say how the file is read, as the texts of a form or of a query.
        """
        settings = self._settings
        # A CSV file has a separator, or the end of a line, for each cell.
        cells = max(_MOST_CELLS, settings.largest_data_set // 2)
        job_spec = {
            **self._upload_spec(upload),
            "name": name,
            "target": target,
            "options": dict(options),
            "most_rows": settings.most_data_set_rows,
            "most_cells": cells,
            "most_bytes": cells * _CELL_BYTES,
        }
        data_set = data_set_of(self._run("data_set", upload, job_spec, upload.rows.stat().st_size))
        return replace(data_set, bytes=upload.table.stat().st_size)

    def append(
        self,
        upload: Upload,
        name: str,
        media: UploadMedia,
        schema: Schema,
        encoding: str,
        key: str,
    ) -> DataSet:
        """Add uploaded rows, with their labels, to a data set as its next content.

        A version with this `schema` has accepted them. `key` identifies the request: sent again, it
        adds nothing. Raises DataSetNotFound, InvalidRequest where the columns differ, BodyTooLarge,
        RegistryUnavailable, or DataSetBusy where others add rows all the time.
        """
        with self._appending:
            for wait in (*_WAITS, None):
                earlier = self._data_sets.appended_by(name, key)
                if earlier is not None:
                    return earlier
                base = self._data_sets.get_data_set(name)
                folder = upload.folder / f"base-{uuid.uuid4().hex}"
                path = self._data_sets.fetch_data_set(base, folder)
                job_spec = {
                    **self._upload_spec(upload),
                    "media": media,
                    "name": name,
                    "target": base.target,
                    "schema": encode(schema).decode(),
                    "encoding": encoding,
                    "base": f"{folder.name}/{path.name}",
                    "most_rows": self._settings.most_data_set_rows,
                }
                size = base.bytes + upload.rows.stat().st_size
                data_set = data_set_of(self._run("append", upload, job_spec, size))
                size = upload.table.stat().st_size
                data_set = replace(data_set, notes=base.notes, bytes=size)
                try:
                    return self._data_sets.append_rows(data_set, upload.table, base, key)
                except DataSetBusy:
                    if wait is None:
                        raise
                    time.sleep(wait * secrets.SystemRandom().uniform(0.5, 1.5))
        raise AssertionError(name)

    def wait_of(self, upload: Upload, default: float) -> float:
        """Return the `wait` of a repeated request, in seconds."""
        wait: object = upload.fields.get("wait")
        try:
            if not upload.form and upload.rows.stat().st_size < _LARGEST_LOOK:
                wait = orjson.loads(upload.rows.read_bytes()).get("wait")
            seconds = float(wait) if isinstance(wait, str | int | float) else default
        except (OSError, ValueError, AttributeError):
            return default
        return seconds if 0 <= seconds <= 300 else default

    def training(
        self, upload: Upload, in_use: Version | None, wait: float, role: str = "admin"
    ) -> tuple[TrainingSpec, float] | DryRun:
        """Read and plan a training; return its specification, and how long the client waits.
        Of a dry run, return what was found.

        A role below admin may not ask for `use`. Raises InvalidRequest with all problems,
        Forbidden, DataSetNotFound or RegistryUnavailable.
        """
        may_use = role == "admin"
        job_spec: dict[str, Any] = {"wait": wait, "use": may_use, **self._upload_spec(upload)}
        job_spec["in_use"] = in_use and {
            "name": in_use.name,
            "model_type": in_use.model_type,
            "params": dict(in_use.params),
        }
        fetched_later = None
        checked = self._run("inspect", upload, job_spec)
        if "needs" in checked:
            data_set = self._data_sets.get_data_set(checked["needs"])
            job_spec["known_target"] = data_set.target
            if data_set.bytes > self._settings.max_upload_bytes:
                record = {
                    "rows": data_set.rows,
                    "columns": data_set.columns,
                    "bytes": data_set.bytes,
                }
                checked = self._run("inspect", upload, {**job_spec, "record": record})
                fetched_later = data_set
            else:
                path = self._data_sets.fetch_data_set(data_set, upload.folder)
                checked = self._run("inspect", upload, {**job_spec, "fetched": path.name})
        if "dry_run" in checked:
            return DryRun(checked["dry_run"])
        if checked["use"] and not may_use:
            raise Forbidden("admin", role, "Putting the model in use")
        return (
            TrainingSpec(
                name=checked["name"],
                model_type=checked["model_type"],
                data_set=fetched_later or data_set_of(checked["data_set"]),
                rows_are_stored=fetched_later is not None,
                use=checked["use"],
                folder=upload.folder,
                request=checked["request"],
                refit=checked["refit"],
                search=checked["search"] and SearchState(checked["search"]),
                parallel=checked["parallel"],
            ),
            checked["wait"],
        )

    def _upload_spec(self, upload: Upload) -> dict[str, Any]:
        settings = self._settings
        return {
            "media": upload.media,
            "form": upload.form,
            "fields": upload.fields,
            "file": upload.has_file,
            "file_name": upload.file_name,
            "max_rows": settings.max_bulk_rows,
            "max_columns": settings.max_columns,
            "max_depth": settings.max_json_depth,
            **told_limits(self._limits),
        }

    def _run(
        self, kind: str, upload: Upload, job_spec: Mapping[str, Any], size: int = 0
    ) -> dict[str, Any]:
        """Have a worker read an upload of `size` bytes; 0: one of the usual size."""
        settings = self._settings
        disk = settings.training_disk_bytes
        if size:
            # The upload, and about as much again for what is made of it.
            disk = max(disk, 2 * settings.largest_data_set)
        seconds = _SECONDS + max(size - settings.max_upload_bytes, 0) / _BYTES_A_SECOND
        limits = JobLimits(seconds, settings.training_memory_bytes, disk)
        job = self._workers.start(kind, upload.folder, job_spec, limits)
        try:
            result = job.wait(seconds)
        except TimeoutError:
            job.stop("Reading the rows took too long.")
            raise InvalidRequest("Reading the rows took too long.") from None
        except JobFailed as error:
            raise InvalidRequest(f"The rows could not be read. {error}") from error
        assert isinstance(result, dict)
        return result
