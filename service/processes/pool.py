"""The pool of worker processes, which keep heavy and risky work out of the serving process.

One worker host (`python -m service.worker`) imports scikit-learn once and forks a worker for every
job, and for every classifier that scikit-learn serves, so that they start in milliseconds. Workers
have none of the service's secrets, and end with the host, which ends with the service. Jobs have a
lower priority, and limits that hold for all that they start. A host that has had no worker for a
while is ended, because its imports are more than half of the memory of a service at rest; the next
job starts another one.
"""

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.common.errors import WorkersUnavailable
from service.processes.host_process import HostProcess
from service.processes.job import Job, WorkerProcess
from service.processes.limits import JobLimits
from service.processes.messages import (
    FromWorker,
    News,
    Prefork,
    Start,
    StartClassifier,
    StartJob,
    Stop,
    to_json,
)

logger = logging.getLogger(__name__)

_LISTEN_SECONDS = 1.0
_SILENT_SECONDS = 4.0
"""How long a host may take to report the end of a worker that was stopped."""


class WorkerPool:
    """Starts workers in the host, and the host when it is needed."""

    command: Sequence[str] = (sys.executable, "-m", "service.worker")
    """What runs a host."""

    def __init__(self, idle_seconds: float = 0.0) -> None:
        """End a host that has had no worker for `idle_seconds`; 0 keeps it."""
        self.idle_seconds = idle_seconds
        # Held while a worker is started, and while it is decided that there is none: a new worker
        # either keeps the host, or finds that there is no host any more.
        self._lock = threading.Lock()
        self._host: HostProcess | None = None
        self._listener: threading.Thread | None = None
        self._workers: dict[int, WorkerProcess] = {}
        self._idle_since = 0.0
        self._count = 0
        self.closed = False
        """Whether nothing is started any more."""

    @property
    def host(self) -> int | None:
        """The process id of the host that starts workers now; None if there is none."""
        host = self._host
        return None if host is None else host.pid

    @property
    def workers(self) -> frozenset[int]:
        """The ids of the workers that have not ended."""
        with self._lock:
            return frozenset(self._workers)

    def warm(self) -> None:
        """Start the host or keep it, so that its imports are done before the next job.

        It forks a worker ahead, which the next job gets.
        """
        with self._lock:
            host = self._ensure_host()
            self._idle_since = time.monotonic()
            with contextlib.suppress(WorkersUnavailable):  # The next job meets it again.
                host.send(Prefork())

    def start(self, kind: str, folder: Path, spec: Mapping[str, Any], limits: JobLimits) -> Job:
        """Start a job of this kind in `folder`, which holds the files that it reads and writes.

        `spec` are its arguments, as JSON. Raises WorkersUnavailable.
        """
        with self._lock:
            host = self._ensure_host()
            job = Job(self._number(), host.pid, self._kill, folder, limits)
            path = str(folder.resolve())
            self._begin(host, job, StartJob(job.id, kind, path, limits, to_json(spec)))
        return job

    def serve(self, connections: int) -> tuple[WorkerProcess, list[socket.socket]]:
        """Start a worker that serves a classifier; return it, and that many connections to it.

        It ends when they are closed; `protocol` says what is sent on them. Raises
        WorkersUnavailable.
        """
        ours, theirs = zip(*(socket.socketpair() for _ in range(connections)), strict=True)
        try:
            with self._lock:
                host = self._ensure_host()
                worker = WorkerProcess(self._number(), host.pid, self._kill)
                start = StartClassifier(worker.id, connections)
                self._begin(host, worker, start, [end.fileno() for end in theirs])
        except BaseException:
            _close(ours)
            raise
        finally:
            _close(theirs)
        return worker, list(ours)

    def close(self) -> None:
        """End the host and every worker."""
        with self._lock:
            self.closed = True
            host, self._host = self._host, None
            idle = not self._workers
        if host is not None:
            host.hang_up()
            if idle:
                host.kill()  # Otherwise it would first finish its imports.
            host.wait()
        if self._listener is not None:
            self._listener.join(timeout=5)  # It kills what a killed host has left behind.

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _begin(
        self, host: HostProcess, worker: WorkerProcess, start: Start, files: Sequence[int] = ()
    ) -> None:
        self._workers[worker.id] = worker
        try:
            host.send(start, files)
        except WorkersUnavailable:
            del self._workers[worker.id]
            raise

    def _kill(self, worker: int) -> None:
        """Have the host kill a worker, unless it has ended, perhaps with its host."""
        with self._lock:
            host = self._host
            process = self._workers.get(worker)
            if host is not None and process is not None and process.host == host.pid:
                with contextlib.suppress(WorkersUnavailable):
                    host.send(Stop(worker))

    def _ensure_host(self) -> HostProcess:
        host = self._host
        if host is not None and host.status is not None:
            self._give_up(host)
            host = None
        if host is None:
            if self.closed:
                raise WorkersUnavailable
            host = self._host = HostProcess(self.command)
            self._idle_since = time.monotonic()
            self._listener = threading.Thread(
                target=self._listen, args=(host,), name="workers", daemon=True
            )
            self._listener.start()
        return host

    def _give_up(self, host: HostProcess) -> None:
        """Have the next job start another host, because this one has ended unexpectedly."""
        if host is self._host:
            logger.error("the worker host ended with status %s", host.status)
            self._host = None

    def _listen(self, host: HostProcess) -> None:
        """Receive what a host sends until it ends; the workers that it had then are lost."""
        with contextlib.suppress(EOFError):
            self._receive_from(host)
        host.wait()
        with self._lock:
            # In one step with what is lost: no worker may be started there after that.
            self._give_up(host)
            host.close()
            lost = [worker for worker in self._workers.values() if worker.host == host.pid]
            for worker in lost:
                del self._workers[worker.id]
        if lost:
            host.kill_workers()
        for worker in lost:
            worker.outcome.set_exception(WorkersUnavailable())

    def _receive_from(self, host: HostProcess) -> None:
        """Pass on what a host sends, until it is ended because it is idle; raises EOFError."""
        answers = False
        while True:
            idle_left = self._idle_left(host)
            wait = _LISTEN_SECONDS if idle_left is None else min(max(idle_left, 0), _LISTEN_SECONDS)
            messages = host.receive(wait)
            for message in messages:
                answers = True
                if isinstance(message, FromWorker):
                    self._take(message)
            if not messages and self._end_idle(host):
                return
            if answers:
                self._end_silent(host)

    def _take(self, event: FromWorker) -> None:
        """Pass on what a worker said, or how it ended."""
        message = event.message
        with self._lock:
            worker = self._workers.get(event.worker)
            if worker is not None and not isinstance(message, News):
                del self._workers[event.worker]
                self._idle_since = time.monotonic()
        if worker is None:
            return
        if not isinstance(message, News):
            worker.outcome.set_result(message)
        elif isinstance(worker, Job):
            worker.hear(message)

    def _idle_left(self, host: HostProcess) -> float | None:
        """Return the seconds until a host is to end; None while there is no such time."""
        if not self.idle_seconds or self._workers or host is not self._host:
            return None
        return self._idle_since + self.idle_seconds - time.monotonic()

    def _end_idle(self, host: HostProcess) -> bool:
        """End a host whose time is up, and return whether it was."""
        with self._lock:
            idle_left = self._idle_left(host)
            if idle_left is None or idle_left > 0:
                return False
            self._host = None
        host.kill()  # It has no worker, and nothing to put in order.
        logger.info("the worker host was idle for %g s and is ended", self.idle_seconds)
        return True

    def _end_silent(self, host: HostProcess) -> None:
        """Kill a host that does not report the end of a stopped worker: it is stopped itself."""
        late = time.monotonic() - _SILENT_SECONDS
        with self._lock:
            is_silent = any(
                worker.host == host.pid and worker.stopped_at < late
                for worker in self._workers.values()
            )
        if is_silent:
            logger.error("the worker host does not answer and is killed")
            host.kill()


def _close(ends: Sequence[socket.socket]) -> None:
    for end in ends:
        end.close()
