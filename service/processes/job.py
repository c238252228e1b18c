"""A worker process as the serving process knows it: one that runs a job, or serves a classifier."""

import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from service.common.errors import (
    BodyTooLarge,
    InvalidInput,
    InvalidRequest,
    JobFailed,
    JobStopped,
    ServiceError,
    StorageUnavailable,
    UnsupportedMediaType,
    UnusableData,
    WorkerCrashed,
    WorkersUnavailable,
)
from service.common.search import SearchState, Trial
from service.processes.limits import JobLimits
from service.processes.messages import (
    Crashed,
    Done,
    News,
    Outcome,
    OverLimit,
    Progress,
    Rejected,
)

_REPORTED: dict[str, type[ServiceError]] = {
    error.__name__: error
    for error in (
        *(BodyTooLarge, InvalidInput, InvalidRequest),
        *(StorageUnavailable, UnsupportedMediaType, UnusableData),
    )
}
"""The errors that a worker may report; any other is that the job failed."""


@dataclass(slots=True)
class WorkerProcess:
    """One worker process, from its start to its end."""

    id: int
    host: int
    """The process id of the host that forked it."""
    kill: Callable[[int], None]
    """Has the host kill the worker of this id, and all that it started."""
    outcome: Future[Outcome] = field(default_factory=Future, kw_only=True)
    """How it ended; WorkersUnavailable where its host ended before it."""
    stopped: str | None = field(default=None, kw_only=True)
    """Why somebody here stopped it."""
    stopped_at: float = field(default=math.inf, kw_only=True)
    """When that was, by the monotonic clock."""

    def stop(self, reason: str) -> None:
        """Kill the worker and all that it started; only the first call counts."""
        if self.stopped is None and not self.outcome.done():
            # The reason comes first: another thread that sees the stop may read it.
            self.stopped, self.stopped_at = reason, time.monotonic()
            self.kill(self.id)


@dataclass(slots=True)
class Job(WorkerProcess):
    """A worker that does one piece of work in a folder."""

    folder: Path
    limits: JobLimits
    progress: Progress | None = field(default=None, kw_only=True)
    """How far it has come, as it said last."""
    search: SearchState | None = field(default=None, kw_only=True)
    """How far its search has come, as it said last."""
    trials: deque[Trial] = field(default_factory=deque, kw_only=True)
    """What it said of the search's trials, for its caller to take from the left."""
    waiting: str = field(default="", kw_only=True)
    """What it waits for before it begins; a worker begins at once."""

    def hear(self, news: News) -> None:
        """Keep what the worker says before it ends."""
        if isinstance(news, Progress):
            self.progress = news
        else:
            self.trials.extend(news.trials)
            self.search = news.state

    def wait(self, seconds: float | None = None) -> object:
        """Wait for the end, and return the result.

        Raises TimeoutError while the job runs, JobStopped if it was stopped, the error that it
        reported, JobFailed if it went over a limit, WorkerCrashed if it crashed, and
        WorkersUnavailable if its host ended before it.
        """
        try:
            outcome = self.outcome.result(timeout=seconds)
        except WorkersUnavailable:
            if self.stopped is None:
                raise
            outcome = None
        if self.stopped is not None:
            raise JobStopped(self.stopped)
        assert outcome is not None
        return result_of(outcome, self.limits)


def result_of(outcome: Outcome, limits: JobLimits) -> object:
    """Return the result of a job, or raise its error, as `Job.wait` does."""
    match outcome:
        case Done(result):
            return msgspec.json.decode(result)
        case Rejected():
            raise _error_of(outcome)
        case OverLimit(limit):
            raise JobFailed(limits.reason(limit))
        case Crashed():
            raise WorkerCrashed(outcome.reason, outcome.was_killed)


def _error_of(rejected: Rejected) -> ServiceError:
    """Return the error that the worker raised."""
    error_type = _REPORTED.get(rejected.error, JobFailed)
    error = error_type.__new__(error_type)
    ServiceError.__init__(error, rejected.detail)
    if isinstance(error, InvalidRequest):
        error.problems = rejected.problems
    if isinstance(error, InvalidInput):
        error.features = frozenset(rejected.features)
    return error
