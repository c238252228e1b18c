"""What a client uploads, looked at in a child process before anything is made of it."""

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from service.common.domain import DataSet, DataSets, Version
from service.common.errors import Forbidden, InvalidRequest, JobFailed
from service.common.settings import Settings
from service.processes.job_files import ROWS, TABLE
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.training.run import TrainingSpec

Media = Literal["json", "csv", "parquet"]

_SECONDS = 60.0
_LARGEST_LOOK = 8 * 2**20


@dataclass(slots=True)
class Upload:
    """A body that lies in a folder of its own: in the file `rows`, and for a form in `fields`."""

    folder: Path
    media: Media = "json"
    form: bool = False
    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None
    has_file: bool = False

    @property
    def rows(self) -> Path:
        """Where the body, or the form's file, is."""
        return self.folder / ROWS

    @property
    def table(self) -> Path:
        """Where a child leaves the rows in their canonical form."""
        return self.folder / TABLE


class Uploads:
    """Makes folders for uploads and has children look at what is in them."""

    def __init__(
        self, data_sets: DataSets, workers: WorkerPool, work: Path, settings: Settings
    ) -> None:
        self._data_sets = data_sets
        self._workers = workers
        self._work = work
        self._settings = settings
        work.mkdir(parents=True, exist_ok=True)
        # Python finds the folder for large forms by writing to it, which fails on a full disk.
        with contextlib.suppress(FileNotFoundError):
            tempfile.gettempdir()

    def open(self) -> Upload:
        """Make the folder of an upload; `close` removes it, or a training does."""
        # What is to look at it starts, if it must, while the body arrives.
        self._workers.warm()
        folder = self._work / uuid.uuid4().hex
        folder.mkdir()
        return Upload(folder)

    def close(self, upload: Upload) -> None:
        """Remove an upload's folder."""
        shutil.rmtree(upload.folder, ignore_errors=True)

    def data_set(self, upload: Upload, name: str | None, target: str | None) -> DataSet:
        """Read an upload as a data set; raises InvalidRequest with what is wrong with it."""
        order = {"name": name, "target": target, **self._order(upload)}
        return _data_set(self._run("data_set", upload, order))

    def wait_of(self, upload: Upload, default: float) -> float:
        """Give how long the client of a request that came before waits, as it says itself."""
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
    ) -> tuple[TrainingSpec, float]:
        """Read and plan a training; give the order, and how long the client waits.

        With a lesser role than admin it is put in use only by somebody else, later. Raises
        InvalidRequest with what is wrong with it, Forbidden, DataSetNotFound or
        RegistryUnavailable.
        """
        may_use = role == "admin"
        order: dict[str, Any] = {"wait": wait, "use": may_use, **self._order(upload)}
        order["in_use"] = in_use and {
            "name": in_use.name,
            "model_type": in_use.model_type,
            "params": dict(in_use.params),
        }
        found = self._run("inspect", upload, order)
        if "needs" in found:
            known = self._data_sets.get_data_set(found["needs"])
            path = self._data_sets.fetch_data_set(known, upload.folder)
            fetched = {"fetched": path.name, "known_target": known.target}
            found = self._run("inspect", upload, {**order, **fetched})
        if found["use"] and not may_use:
            raise Forbidden("admin", role, "Putting the model in use")
        return (
            TrainingSpec(
                name=found["name"],
                model_type=found["model_type"],
                params=found["params"],
                data_set=_data_set(found["data_set"]),
                use=found["use"],
                folder=upload.folder,
                request=found["request"],
            ),
            found["wait"],
        )

    def _order(self, upload: Upload) -> dict[str, Any]:
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
        }

    def _run(self, kind: str, upload: Upload, order: Mapping[str, Any]) -> dict[str, Any]:
        settings = self._settings
        limits = JobLimits(_SECONDS, settings.training_memory_bytes, settings.training_disk_bytes)
        job = self._workers.start(kind, upload.folder, order, limits)
        try:
            result = job.wait(_SECONDS)
        except TimeoutError:
            job.stop("Reading the rows took too long.")
            raise InvalidRequest("Reading the rows took too long.") from None
        except JobFailed as error:
            raise InvalidRequest(f"The rows could not be read. {error}") from error
        assert isinstance(result, dict)
        return result


def _data_set(found: Mapping[str, Any]) -> DataSet:
    return DataSet(
        name=found["name"],
        sha256=found["sha256"],
        rows=found["rows"],
        columns=tuple(found["columns"]),
        target=found["target"],
        created_at=time.time(),
    )
