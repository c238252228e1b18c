"""Predictions for files of rows: a worker reads the file, and all cores share the rows."""

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from service.common.domain import RowsMedia, spelling
from service.common.errors import BodyTooLarge, ClientGone, InvalidRequest, JobFailed, Overloaded
from service.common.outcomes import OutcomeCounts
from service.common.settings import Settings
from service.processes.job import Job
from service.processes.job_files import MATRIX, TRUTH, write_answers
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.schema.contract import encode
from service.serving.outcomes import count
from service.serving.predictor import Predictor
from service.serving.reply_encoder import ReplyEncoder

Form = Literal["json", "csv", "arrow", "scoring"]
"""The format of a reply. `scoring` is that of MLflow's protocol, which also ignores columns that
are no features."""

MAX_PROBABILITIES = 10_000_000
"""The most probabilities, rows times classes, in a reply: as text they take 200 MB of memory."""

_SECONDS = 120.0
"""How long a file may take in all."""
_LOOK_SECONDS = 0.25
_MOST = 8
"""At most this many files are answered or wait; one more is refused."""
_JOBS_AT_ONCE = 2
"""At most this many jobs read files or write answers at a time. Together they may use as much
memory as one training."""

_QUOTED = (b",", b'"', b"\n", b"\r")


Watch = Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]], None]
"""Gets rows [N, F] with the indexes of their true classes, and of the classes answered, [N]."""


class Deadline:
    """When to give up a file: after some time, or when its client has left."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._expires = monotonic() + seconds
        self.client_left = False

    def check(self) -> None:
        """Raise ClientGone if the client has left, or InvalidRequest if the time is over."""
        if self.client_left:
            raise ClientGone
        if monotonic() > self._expires:
            raise InvalidRequest(
                f"Predicting the file took more than {self._seconds:g} s; send fewer rows at once."
            )


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
    def admit(self) -> Iterator[None]:
        """Count a file while it is answered; raises Overloaded. For the event loop's thread."""
        if self._under_way >= _MOST:
            raise Overloaded("files of rows are under way")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def answer(
        self,
        predictor: Predictor,
        folder: Path,
        media: RowsMedia,
        probabilities: bool,
        form: Form,
        deadline: Deadline,
        encoding: str = "utf-8",
    ) -> tuple[bytes, int]:
        """Answer the rows that were uploaded to a folder; return the reply and the number
        of rows. `encoding` is that of a CSV file.

        Raises InvalidInput, JobFailed, WorkersUnavailable, BodyTooLarge if more probabilities are
        asked for than a reply may have, and what `read_matrix` or `deadline` raise.
        """
        if probabilities:
            predictor.classification.check_has_probabilities()
        more = {"drop_others": form == "scoring"}
        matrix = self._matrix("matrix", predictor, folder, media, deadline, encoding, more)
        if probabilities and len(matrix) * len(predictor.schema.classes) > MAX_PROBABILITIES:
            what = "The number of probabilities (rows x classes)"
            raise BodyTooLarge(what, MAX_PROBABILITIES, "in a reply")
        labels, rows = predictor.classification.classify(
            matrix, probabilities, folder / MATRIX, deadline.check
        )
        # The matrix is mapped from a file that is deleted soon, so the rows must be copied.
        predictor.count(matrix, labels, rows, keep=False)
        if form == "json":
            return predictor.replies.encode(labels, rows), len(matrix)
        if form == "scoring":
            replies = ReplyEncoder({}, predictor.schema.classes)
            return replies.encode(labels, rows), len(matrix)
        if form == "csv":
            return _csv(predictor, labels, rows), len(matrix)
        write_answers(folder, labels, rows)
        spec = {"classes": list(predictor.schema.classes)}
        file = self._run("arrow_answers", folder, spec, deadline)["file"]
        return (folder / file).read_bytes(), len(matrix)

    def answer_beside_truth(
        self,
        predictor: Predictor,
        folder: Path,
        media: RowsMedia,
        deadline: Deadline,
        encoding: str,
        watch: Watch,
    ) -> OutcomeCounts:
        """Answer rows that were uploaded with their true labels; count the right answers.

        `watch` is called with the rows, their true classes and the answers. Raises as `answer`
        does.
        """
        matrix = self._matrix("outcomes", predictor, folder, media, deadline, encoding)
        truth = np.load(folder / TRUTH, allow_pickle=False)
        labels, rows = predictor.classification.classify(
            matrix, predictor.classifier.has_probabilities, folder / MATRIX, deadline.check
        )
        watch(matrix, truth, labels)
        return count(predictor.schema, truth, labels, rows)

    def _matrix(
        self,
        kind: str,
        predictor: Predictor,
        folder: Path,
        media: RowsMedia,
        deadline: Deadline,
        encoding: str,
        more: Mapping[str, bool] | None = None,
    ) -> NDArray[np.float64]:
        """Have a worker read the rows; `kind` is the job, `more` what only that kind needs."""
        spec = {
            **(more or {}),
            "media": media,
            "encoding": encoding,
            "schema": encode(predictor.schema).decode(),
            "max_rows": self._settings.max_bulk_rows,
            "max_columns": self._settings.max_columns,
        }
        self._run(kind, folder, spec, deadline)
        matrix: NDArray[np.float64] = np.load(folder / MATRIX, mmap_mode="r", allow_pickle=False)
        return matrix

    def _run(
        self, kind: str, folder: Path, spec: dict[str, Any], deadline: Deadline
    ) -> dict[str, Any]:
        while not self._jobs.acquire(timeout=_LOOK_SECONDS):
            deadline.check()
        try:
            job = self._workers.start(kind, folder, spec, self._limits)
            while True:
                try:
                    result = job.wait(_LOOK_SECONDS)
                    assert isinstance(result, dict)
                    return result
                except TimeoutError:
                    _check(deadline, job)
        except JobFailed as error:
            raise InvalidRequest(f"The rows cannot be read: {error}") from error
        finally:
            self._jobs.release()


def _check(deadline: Deadline, job: Job) -> None:
    """Stop a job that nobody waits for any more; raises what `deadline` does."""
    try:
        deadline.check()
    except (ClientGone, InvalidRequest):
        job.stop("Nobody waits for it any more.")
        raise


def _csv(
    predictor: Predictor, labels: NDArray[np.int64], rows: NDArray[np.float64] | None
) -> bytes:
    """Return a line for each row: the prediction and, if asked for, all probabilities."""
    texts = [_field(label) for label in predictor.schema.classes]
    out = io.BytesIO()
    names = [_field(f"probability of {spelling(label)}") for label in predictor.schema.classes]
    out.write(b",".join([b"prediction", *(names if rows is not None else [])]) + b"\n")
    if rows is None:
        out.write(b"\n".join([texts[i] for i in labels.tolist()]) + b"\n")
        return out.getvalue()
    # orjson writes the shortest digits that give the same float64.
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
