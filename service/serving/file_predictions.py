"""Many rows in one request, as columns: read in a child, answered in chunks on all cores."""

import io
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
from service.processes.job_files import MATRIX, write_answers
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.schema.contract import encode, spelling
from service.serving.predictor import Predictor

Form = Literal["json", "csv", "arrow"]

_MEMORY = 2 * 2**30
_SECONDS = 60.0
_MOST = 8
"""So many may be under way or wait; one more is refused."""

_QUOTED = (b",", b'"', b"\n", b"\r")


class FilePredictions:
    """Answers files of rows; its methods may be called from any thread."""

    def __init__(self, workers: WorkerPool, settings: Settings) -> None:
        self._workers = workers
        self._settings = settings
        self._under_way = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count one that is under way; raises Overloaded. For one thread, the event loop's."""
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
        """Answer the rows that were uploaded to a folder; give the reply and their number.

        Raises InvalidInput, what `columns.read_matrix` raises, JobFailed or ChildrenUnavailable.
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
        order = {"classes": list(predictor.schema.classes)}
        return (folder / self._run("arrow_answers", folder, order)["file"]).read_bytes(), len(
            matrix
        )

    def _matrix(self, predictor: Predictor, folder: Path, media: RowsMedia) -> NDArray[np.float64]:
        order = {
            "media": media,
            "schema": encode(predictor.schema).decode(),
            "max_rows": self._settings.max_bulk_rows,
            "max_columns": self._settings.max_columns,
        }
        self._run("matrix", folder, order)
        matrix: NDArray[np.float64] = np.load(folder / MATRIX, mmap_mode="r", allow_pickle=False)
        return matrix

    def _run(self, kind: str, folder: Path, order: dict[str, Any]) -> dict[str, Any]:
        limits = JobLimits(_SECONDS, _MEMORY, self._settings.training_disk_bytes)
        job = self._workers.start(kind, folder, order, limits)
        try:
            found = job.wait(_SECONDS)
        except TimeoutError as error:
            job.stop("It took too long.")
            raise InvalidRequest(f"Reading the rows took more than {_SECONDS:.0f} s.") from error
        except JobFailed as error:
            raise InvalidRequest(f"The rows cannot be read: {error}") from error
        assert isinstance(found, dict)
        return found


def _csv(
    predictor: Predictor, labels: NDArray[np.int64], rows: NDArray[np.float64] | None
) -> bytes:
    """Give a line for each row: the prediction and, if asked, the probability of each class."""
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
