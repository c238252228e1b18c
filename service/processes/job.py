"""A child process as the serving process knows it: a job with its result, or one that serves."""

import contextlib
import math
import os
import signal
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from service.common.disk_errors import NO_STORAGE
from service.common.errors import (
    BodyTooLarge,
    InvalidInput,
    InvalidRequest,
    JobFailed,
    JobStopped,
    Problem,
    ServiceError,
    StorageUnavailable,
    UnsupportedMediaType,
    UnusableData,
    WorkersUnavailable,
)
from service.processes.job_files import ERROR, RESULT
from service.processes.limits import JobLimits, LimitExceeded

_KINDS: dict[str, type[InvalidRequest]] = {
    "InvalidRequest": InvalidRequest,
    "UnusableData": UnusableData,
}
_PLAIN: dict[str, type[ServiceError]] = {
    "BodyTooLarge": BodyTooLarge,
    "UnsupportedMediaType": UnsupportedMediaType,
}


HOST_DIED = 1000
"""The status of a child whose host is gone."""


@dataclass(slots=True)
class WorkerProcess:
    """One child process, from its start to its end."""

    id: int
    host: int
    """The process id of the host that runs it."""
    pid: int | None = field(default=None, kw_only=True)
    status: Future[int] = field(default_factory=Future, kw_only=True)
    stopped: str | None = field(default=None, kw_only=True)
    stopped_at: float = field(default=math.inf, kw_only=True)
    """By the monotonic clock."""

    def stop(self, reason: str) -> None:
        """Kill the child and all that it started."""
        if self.status.done():
            return
        self.stopped = reason
        self.stopped_at = time.monotonic()
        self.kill()

    def kill(self) -> None:
        """Kill a child that was stopped, if it has begun; else it is killed when it begins."""
        if self.stopped is not None and self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


@dataclass(slots=True)
class Job(WorkerProcess):
    """A child that does one piece of work in a folder."""

    folder: Path
    limits: JobLimits

    def wait(self, seconds: float | None = None) -> object:
        """Wait for the end; give the result.

        Raises TimeoutError while it runs, the error that the child met, JobStopped, JobFailed,
        StorageUnavailable, or ChildrenUnavailable where the child went with its host.
        """
        status = self.status.result(timeout=seconds)
        if self.stopped is not None:
            raise JobStopped(self.stopped)
        if status == HOST_DIED:
            raise WorkersUnavailable
        if status in NO_STORAGE:
            raise StorageUnavailable(NO_STORAGE[status])
        if status in tuple(LimitExceeded):
            raise JobFailed(self.limits.reason(status))
        error = self.folder / ERROR
        if error.is_file():
            raise _revive(orjson.loads(error.read_bytes()))
        result = self.folder / RESULT
        if status == 0 and result.is_file():
            return orjson.loads(result.read_bytes())
        raise JobFailed(self.limits.reason(status))


def _revive(record: dict[str, object]) -> ServiceError:
    """Give the error that a child wrote down."""
    kind, detail = str(record["kind"]), str(record["detail"])
    problems = record.get("problems")
    if isinstance(problems, list):
        found = [Problem(p["pointer"], p["message"]) for p in problems]
        features = record.get("features")
        if kind == "InvalidInput" and isinstance(features, list):
            return InvalidInput(detail, found, frozenset(features))
        if kind in _KINDS:
            return _KINDS[kind](detail, found)
    error_type = _PLAIN.get(kind, JobFailed)
    error = error_type.__new__(error_type)
    ServiceError.__init__(error, detail)
    return error
