"""The jobs that run in a worker: each reads files in its folder, and returns its result."""

import errno
import os
import resource
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from service.common.disk_errors import NO_STORAGE
from service.common.errors import ServiceError, StorageUnavailable, clip
from service.processes.job_files import OUTPUT
from service.processes.limits import LimitExceeded
from service.processes.messages import (
    Crashed,
    Done,
    News,
    Outcome,
    OverLimit,
    Rejected,
    StartJob,
    to_json,
)
from service.worker import matrix_job
from service.worker.append_job import append
from service.worker.data.table import BUILT_IN, built_in
from service.worker.data_set_job import read_data_set
from service.worker.learning import classifiers
from service.worker.sklearn_models.external_model import adopt
from service.worker.task import Task
from service.worker.training_job import train
from service.worker.upload_jobs import inspect_training, summary


def run(start: StartJob, send: Callable[[News], None]) -> Outcome:
    """Do a job and return its outcome; meanwhile `send` gets its progress."""
    folder = Path(start.folder)
    try:
        _capture(folder)
        task = Task(folder, msgspec.json.decode(start.spec), send)
        return Done(to_json(JOBS[start.kind](task)))
    except ServiceError as error:
        return _rejected(error)
    except MemoryError:
        return OverLimit(LimitExceeded.MEMORY)
    except OSError as error:
        largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if error.errno == errno.ENOMEM:
            return OverLimit(LimitExceeded.MEMORY)
        if error.errno == errno.EFBIG and largest == start.limits.disk_bytes:
            return OverLimit(LimitExceeded.DISK)
        if error.errno is not None and error.errno in NO_STORAGE:
            return _rejected(StorageUnavailable(NO_STORAGE[error.errno]))
        return _defect()
    except Exception:
        # The edge of the process: the client learns that there was a defect, and the log which.
        return _defect()


def _rejected(error: ServiceError) -> Rejected:
    return Rejected(
        type(error).__name__,
        str(error),
        tuple(getattr(error, "problems", ())),
        tuple(sorted(getattr(error, "features", ()))),
    )


def _defect() -> Crashed:
    traceback.print_exc()
    return Crashed("It met an internal error.")


def _capture(folder: Path) -> None:
    """Write what is printed to the folder, where it is counted; the log gets its end."""
    output = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _adopt(task: Task) -> Any:
    """Make a foreign version servable, or return why it is not."""
    target = task.folder / "adopted"
    target.mkdir()
    try:
        adopt(Path(task.spec["source"]), target, task.spec["allow_pickle"])
    except ValueError as error:
        return {"reason": clip(error, 300)}
    return {"reason": None}


JOBS: Mapping[str, Callable[[Task], Any]] = {
    "model_types": lambda _: [kind.describe() for kind in classifiers.catalogue()],
    "built_ins": lambda _: [summary(name, *built_in(name)) for name in BUILT_IN],
    "data_set": read_data_set,
    "inspect": inspect_training,
    "train": train,
    "adopt": _adopt,
    "matrix": matrix_job.read,
    "outcomes": matrix_job.read_outcomes,
    "append": append,
    "held_out": matrix_job.read_held_out,
    "arrow_answers": matrix_job.write_arrow,
}
