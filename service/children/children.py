"""Work that is kept away from the serving process: each job runs in a child of its own.

One host process (`python -m service.children.host`) imports scikit-learn once and forks a child for
every job, so that a job starts in milliseconds. They have none of the service's secrets, a lower
priority and bounded memory, and die with the host, which dies with the service.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from service.children.folder import ERROR, ORDER, RESULT, write
from service.errors import (
    BodyTooLarge,
    ChildrenUnavailable,
    InvalidRequest,
    Problem,
    ServiceError,
    UnsupportedMediaType,
    UnusableData,
)

logger = logging.getLogger(__name__)

_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "VIRTUAL_ENV",
    "OPENBLAS_CORETYPE",
    "LD_LIBRARY_PATH",
)
"""The only variables that a child sees: passwords and keys stay here."""

_KINDS: dict[str, type[InvalidRequest]] = {
    "InvalidRequest": InvalidRequest,
    "UnusableData": UnusableData,
}
_PLAIN: dict[str, type[ServiceError]] = {
    "BodyTooLarge": BodyTooLarge,
    "UnsupportedMediaType": UnsupportedMediaType,
}


class JobFailed(ServiceError):
    """A child ended without a result: it crashed, or went over a limit."""


class JobStopped(ServiceError):
    """A child was stopped because somebody wished it."""


_LOST = 1000
"""The status of a child whose host is gone."""


@dataclass(slots=True)
class Job:
    """One child, from its start to its end."""

    id: int
    folder: Path
    memory_bytes: int
    host: int
    """The process id of the host that runs it."""
    pid: int | None = None
    status: Future[int] = field(default_factory=Future)
    stopped: str | None = None

    def wait(self, seconds: float | None = None) -> object:
        """Wait for the end; give the result.

        Raises TimeoutError while it runs, the error that the child met, JobStopped, JobFailed, or
        ChildrenUnavailable where the child went with its host.
        """
        status = self.status.result(timeout=seconds)
        if self.stopped is not None:
            raise JobStopped(self.stopped)
        if status == _LOST:
            raise ChildrenUnavailable
        error = self.folder / ERROR
        if error.is_file():
            raise _revive(orjson.loads(error.read_bytes()))
        result = self.folder / RESULT
        if status == 0 and result.is_file():
            return orjson.loads(result.read_bytes())
        raise JobFailed(self._why(status))

    def _why(self, status: int) -> str:
        gibi = self.memory_bytes / 2**30
        if status == -signal.SIGXCPU:
            return "It used more processor time than the limit allows."
        if status in (-signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS):
            name = signal.Signals(-status).name
            return f"It was ended by {name}, most likely at the limit of {gibi:.3g} GiB of memory."
        return f"It ended without a result (status {status})."

    def stop(self, reason: str) -> None:
        """Kill the child and all that it started."""
        if self.status.done():
            return
        self.stopped = reason
        self.kill()

    def kill(self) -> None:
        """Kill a child that was stopped, if it has begun; else it is killed when it begins."""
        if self.stopped is not None and self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


class Children:
    """Starts jobs in the host, and the host when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._host: subprocess.Popen[bytes] | None = None
        self._jobs: dict[int, Job] = {}
        self._count = 0

    def warm(self) -> None:
        """Start the host, so that its imports are done before the first job."""
        with self._lock:
            self._ensure_host()

    def start(
        self,
        kind: str,
        folder: Path,
        order: Mapping[str, Any],
        memory_bytes: int,
        cpu_seconds: float,
    ) -> Job:
        """Start a job of this kind in `folder`, which holds what it reads and gets its result."""
        for left in (RESULT, ERROR):
            (folder / left).unlink(missing_ok=True)
        write(folder / ORDER, order)
        with self._lock:
            host = self._ensure_host()
            self._count += 1
            job = Job(self._count, folder, memory_bytes, host.pid)
            self._jobs[job.id] = job
            line = {
                "id": job.id,
                "kind": kind,
                "folder": str(folder.resolve()),
                "memory_bytes": memory_bytes,
                "cpu_seconds": int(cpu_seconds) + 1,
            }
            assert host.stdin is not None
            try:
                host.stdin.write(orjson.dumps(line) + b"\n")
                host.stdin.flush()
            except OSError as error:
                del self._jobs[job.id]
                raise ChildrenUnavailable from error
        return job

    def close(self) -> None:
        """End the host and every child."""
        with self._lock:
            host, self._host = self._host, None
            idle = not self._jobs
        if host is not None:
            assert host.stdin is not None
            with contextlib.suppress(OSError):
                host.stdin.close()
            if idle:
                host.kill()  # it would first end its imports
            try:
                host.wait(timeout=5)
            except subprocess.TimeoutExpired:
                host.kill()
                host.wait()

    def _ensure_host(self) -> subprocess.Popen[bytes]:
        if self._host is not None and self._host.poll() is not None:
            logger.error("the host of children ended with status %s", self._host.returncode)
            assert self._host.stdin is not None
            with contextlib.suppress(OSError):  # what was written to it last is lost
                self._host.stdin.close()
            self._host = None
        if self._host is None:
            environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            # One thread: a fork of a process with more is not safe, and trainings share the cores.
            environment |= {
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "JE_ARROW_MALLOC_CONF": "background_thread:false",
            }
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            self._host = subprocess.Popen(
                [sys.executable, "-m", "service.children.host"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
            assert self._host.stdout is not None
            threading.Thread(
                target=self._listen,
                args=(self._host.pid, self._host.stdout),
                name="children",
                daemon=True,
            ).start()
        return self._host

    def _listen(self, host: int, lines: IO[bytes]) -> None:
        """Hear of one host's children until it ends; then those that it had are lost."""
        with lines:
            for line in lines:
                message = orjson.loads(line)
                with self._lock:
                    job = self._jobs.get(message["id"])
                    if job is not None and "status" in message:
                        del self._jobs[job.id]
                if job is None:
                    continue
                if "pid" in message:
                    job.pid = message["pid"]
                    job.kill()
                else:
                    job.status.set_result(message["status"])
        with self._lock:
            lost = [job for job in self._jobs.values() if job.host == host]
            for job in lost:
                del self._jobs[job.id]
        for job in lost:
            job.status.set_result(_LOST)


def _revive(record: dict[str, object]) -> ServiceError:
    """Give the error that a child wrote down."""
    kind, detail = str(record["kind"]), str(record["detail"])
    problems = record.get("problems")
    if kind in _KINDS and isinstance(problems, list):
        return _KINDS[kind](detail, [Problem(p["pointer"], p["message"]) for p in problems])
    error_type = _PLAIN.get(kind, JobFailed)
    error = error_type.__new__(error_type)
    ServiceError.__init__(error, detail)
    return error
