"""The jobs that run in a child process: each reads its folder and leaves its result there."""

import errno
import os
import resource
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from service.common.disk_errors import NO_STORAGE
from service.common.errors import ServiceError, clip
from service.processes.job_files import ERROR, ORDER, OUTPUT, RESULT, write
from service.processes.limits import LimitExceeded
from service.worker import matrix_job
from service.worker.data.table import BUILT_IN, built_in
from service.worker.learning import classifiers
from service.worker.sklearn_models.external_model import adopt
from service.worker.training_job import train
from service.worker.upload_jobs import inspect_training, read_data_set, summary


def run(kind: str, folder: Path, disk_bytes: int) -> int:
    """Do a job; give the exit status. What a client can mend becomes `error.json`."""
    try:
        _capture(folder)
        _run(kind, folder)
    except MemoryError:
        return LimitExceeded.MEMORY
    except OSError as error:
        # Told by the status: what is written down needs the disk, too.
        largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if error.errno == errno.EFBIG and largest == disk_bytes:
            return LimitExceeded.DISK
        if error.errno is not None and error.errno in NO_STORAGE:
            return error.errno
        traceback.print_exc()
    except Exception:
        # The edge of the process: whoever waits learns that there was a defect, the log which.
        traceback.print_exc()
    else:
        return 0
    return 1


def _capture(folder: Path) -> None:
    """Have what is printed written to the folder, where it is counted; the log gets its end."""
    output = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _run(kind: str, folder: Path) -> None:
    try:
        result = JOBS[kind](folder, orjson.loads((folder / ORDER).read_bytes()))
    except ServiceError as error:
        problems = getattr(error, "problems", ())
        write(
            folder / ERROR,
            {
                "kind": type(error).__name__,
                "detail": str(error),
                "problems": [asdict(problem) for problem in problems],
                "features": sorted(getattr(error, "features", ())),
            },
        )
    except OSError as error:
        if error.errno in NO_STORAGE:
            raise
        detail = f"The disk does not take it: {error.strerror}."
        write(folder / ERROR, {"kind": "JobFailed", "detail": detail})
    else:
        write(folder / RESULT, result)


def _model_types(_folder: Path, _order: Mapping[str, Any]) -> Any:
    return [kind.describe() for kind in classifiers.catalogue()]


def _built_ins(_folder: Path, _order: Mapping[str, Any]) -> Any:
    return [summary(name, *built_in(name)) for name in BUILT_IN]


def _adopt(folder: Path, order: Mapping[str, Any]) -> Any:
    """Make a foreign version servable, or say why not."""
    target = folder / "adopted"
    target.mkdir()
    try:
        adopt(Path(order["source"]), target, order["allow_pickle"])
    except ValueError as error:
        return {"reason": clip(error, 300)}
    return {"reason": None}


JOBS: Mapping[str, Callable[[Path, Mapping[str, Any]], Any]] = {
    "model_types": _model_types,
    "built_ins": _built_ins,
    "data_set": read_data_set,
    "inspect": inspect_training,
    "train": train,
    "adopt": _adopt,
    "matrix": matrix_job.read,
    "arrow_answers": matrix_job.write_arrow,
}
