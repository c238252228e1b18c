"""Files of rows to predict: each is read in a worker, and answered in parts on all cores."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from service.common.domain import RowsMedia
from service.common.errors import InvalidRequest, JobFailed, Overloaded
from service.common.settings import Settings
from service.processes.job import Job
from service.processes.job_files import MATRIX, write_answers
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.schema.contract import encode, spelling
from service.serving.predictor import Predictor

Form = Literal["json", "csv", "arrow"]

_SECONDS = 60.0
_MOST = 8
"""Files that may be under way or wait; one more is refused."""
_JOBS_AT_ONCE = 2
"""Files that are read, or answers that are written, at one time. Together these jobs may hold what
one training may."""

_QUOTED = (b",", b'"', b"\n", b"\r")


class FilePredictions:
    """Answers files of rows; its methods may be called from any thread."""

    def __init__(self, workers: WorkerPool, settings: Settings) -> None:
        self._workers = workers
        self._settings = settings
        self._under_way = 0
        self._jobs = threading.BoundedSemaphore(_JOBS_AT_ONCE)
        self._limits = JobLimits(
            _SECONDS, settings.training_memory_bytes // _JOBS_AT_ONCE, settings.training_disk_bytes
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count a file that is under way; raises Overloaded. Only for the event loop's thread."""
        if self._under_way >= _MOST:
            raise Overloaded("files of rows are under way")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def answer(
        self, predictor: Predictor, folder: Path, media: RowsMedia, probabilities: bool, form: Form
    ) -> tuple[bytes, int]:
        """Answer the rows that were uploaded to a folder; return the reply and their number.

        Raises InvalidRequest for what is wrong with them, or Unavailable.
        """
        if probabilities:
            predictor.classification.check_has_probabilities()
        matrix = self._matrix(predictor, folder, media)
        labels, rows = predictor.classification.classify(matrix, probabilities, folder / MATRIX)
        if form == "json":
            return predictor.replies.encode(labels, rows), len(matrix)
        if form == "csv":
            return _csv(predictor, labels, rows), len(matrix)
        write_answers(folder, labels, rows)
        spec = {"classes": list(predictor.schema.classes)}
        return (folder / self._run("arrow_answers", folder, spec)["file"]).read_bytes(), len(matrix)

    def _matrix(self, predictor: Predictor, folder: Path, media: RowsMedia) -> NDArray[np.float64]:
        spec = {
            "media": media,
            "schema": encode(predictor.schema).decode(),
            "max_rows": self._settings.max_bulk_rows,
            "max_columns": self._settings.max_columns,
        }
        self._run("matrix", folder, spec)
        matrix: NDArray[np.float64] = np.load(folder / MATRIX, mmap_mode="r", allow_pickle=False)
        return matrix

    def _run(self, kind: str, folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
        if not self._jobs.acquire(timeout=_SECONDS):
            raise Overloaded("files of rows are under way")
        try:
            return self._result(self._workers.start(kind, folder, spec, self._limits))
        finally:
            self._jobs.release()

    @staticmethod
    def _result(job: Job) -> dict[str, Any]:
        try:
            result = job.wait(_SECONDS)
        except TimeoutError as error:
            job.stop("It took too long.")
            raise InvalidRequest(f"Reading the rows took more than {_SECONDS:.0f} s.") from error
        except JobFailed as error:
            raise InvalidRequest(f"The rows cannot be read: {error}") from error
        assert isinstance(result, dict)
        return result


def _csv(
    predictor: Predictor, labels: NDArray[np.int64], rows: NDArray[np.float64] | None
) -> bytes:
    """Return a line for each row: its prediction and, if asked, each class's probability."""
    texts = [_field(label) for label in predictor.schema.classes]
    out = io.BytesIO()
    names = [_field(f"probability of {spelling(label)}") for label in predictor.schema.classes]
    out.write(b",".join([b"prediction", *(names if rows is not None else [])]) + b"\n")
    if rows is None:
        out.write(b"\n".join([texts[i] for i in labels.tolist()]) + b"\n")
        return out.getvalue()
    # As orjson writes them: the shortest digits that give the same float64.
    option = orjson.OPT_SERIALIZE_NUMPY
    lines = orjson.dumps(np.ascontiguousarray(rows), option=option)[2:-2].split(b"],[")
    for label, line in zip(labels.tolist(), lines, strict=True):
        out.write(b"%b,%b\n" % (texts[label], line))
    return out.getvalue()


def _field(label: object) -> bytes:
    text = spelling(label).encode()
    if any(mark in text for mark in _QUOTED):
        return b'"' + text.replace(b'"', b'""') + b'"'
    return text
