"""Work that is kept away from the serving process: each job runs in a child of its own.

One host process (`python -m service.worker`) imports scikit-learn once and forks a child for
every job, and for every classifier that scikit-learn serves, so that they start in milliseconds.
They have none of the service's secrets, and die with the host, which dies with the service. Jobs
have a lower priority and limits that hold for all that they start. A host that has had no child for
a while is ended, since what it has imported is more than half of the memory of a service at rest;
the next order starts another one.
"""

import contextlib
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from service.common.errors import WorkersUnavailable
from service.processes import process_tree
from service.processes.host_messages import PREFORK, SERVE
from service.processes.job import HOST_DIED, Job, WorkerProcess
from service.processes.job_files import ERROR, ORDER, RESULT, write
from service.processes.limits import JobLimits

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

_MARK = "CHILDREN_MARK"
"""The variable by which the processes of a host are known when it has ended before them."""

_LISTEN_SECONDS = 1.0
_SILENT_SECONDS = 4.0
"""How long a host may take to tell that a child is gone that was killed."""


class WorkerPool:
    """Starts jobs in the host, and the host when it is needed."""

    command: Sequence[str] = (sys.executable, "-m", "service.worker")
    """What runs a host."""

    def __init__(self, idle_seconds: float = 0.0) -> None:
        """End a host that has had no child for `idle_seconds`; 0 keeps it."""
        self.idle_seconds = idle_seconds
        # Held while an order is given, and while it is decided that there is none: an order either
        # keeps the host or finds that there is no host any more.
        self._lock = threading.Lock()
        self._host: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._orders: socket.socket | None = None
        self._children: dict[int, WorkerProcess] = {}
        self._idle_since = 0.0
        self._count = 0
        self.closed = False
        """Whether nothing is started any more."""

    def warm(self) -> None:
        """Start the host or keep it, so that its imports are done before the next job.

        It forks a child ahead, which the next order gets.
        """
        with self._lock:
            self._ensure_host()
            self._idle_since = time.monotonic()
            assert self._orders is not None
            with contextlib.suppress(OSError):  # the order that follows meets it again
                self._orders.send(orjson.dumps({"kind": PREFORK}), socket.MSG_DONTWAIT)

    def start(
        self,
        kind: str,
        folder: Path,
        order: Mapping[str, Any],
        limits: JobLimits,
    ) -> Job:
        """Start a job of this kind in `folder`, which holds what it reads and gets its result."""
        for left in (RESULT, ERROR):
            (folder / left).unlink(missing_ok=True)
        write(folder / ORDER, order)
        with self._lock:
            host = self._ensure_host()
            job = Job(self._number(), host.pid, folder, limits)
            self._send(
                job, {"kind": kind, "folder": str(folder.resolve()), "limits": asdict(limits)}
            )
        return job

    def serve(self, connections: int) -> tuple[WorkerProcess, list[socket.socket]]:
        """Start a child that serves a classifier; give it, and so many connections to it.

        It ends when they are closed. What is said on them stands in `wire`.
        """
        ours, theirs = zip(*(socket.socketpair() for _ in range(connections)), strict=True)
        try:
            with self._lock:
                child = WorkerProcess(self._number(), self._ensure_host().pid)
                self._send(child, {"kind": SERVE}, [end.fileno() for end in theirs])
        except BaseException:
            _close(ours)
            raise
        finally:
            _close(theirs)
        return child, list(ours)

    def close(self) -> None:
        """End the host and every child."""
        with self._lock:
            self.closed = True
            host, self._host = self._host, None
            idle = not self._children
            self._hang_up()
        if host is not None:
            if idle:
                host.kill()  # it would first end its imports
            _wait_for(host)
        if self._listener is not None:
            self._listener.join(timeout=5)  # it ends what a killed host has left

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _send(
        self, child: WorkerProcess, order: Mapping[str, Any], files: Sequence[int] = ()
    ) -> None:
        """Tell the host to start a child; it gets `files` as its own."""
        assert self._orders is not None
        self._children[child.id] = child
        try:
            socket.send_fds(self._orders, [orjson.dumps({"id": child.id, **order})], files)
        except OSError as error:
            del self._children[child.id]
            raise WorkersUnavailable from error

    def _hang_up(self) -> None:
        if self._orders is not None:
            self._orders.close()
            self._orders = None

    def _give_up(self, host: subprocess.Popen[bytes]) -> None:
        """Have the next order start another host, because this one has ended by itself."""
        if host is self._host:
            logger.error("the host of children ended with status %s", host.returncode)
            self._hang_up()
            self._host = None

    def _ensure_host(self) -> subprocess.Popen[bytes]:
        if self._host is not None and self._host.poll() is not None:
            self._give_up(self._host)
        if self._host is None:
            if self.closed:
                raise WorkersUnavailable
            environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            # One thread: a fork of a process with more is not safe, and trainings share the cores.
            environment |= {
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "JE_ARROW_MALLOC_CONF": "background_thread:false",
            }
            mark = uuid.uuid4().hex
            environment[_MARK] = mark
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            # Its messages keep their bounds, and carry files.
            self._orders, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
            with theirs:
                self._host = subprocess.Popen(
                    self.command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.PIPE,
                    env=environment,
                    start_new_session=True,
                )
            self._idle_since = time.monotonic()
            self._listener = threading.Thread(
                target=self._listen, args=(self._host, mark), name="children", daemon=True
            )
            self._listener.start()
        return self._host

    def _listen(self, host: subprocess.Popen[bytes], mark: str) -> None:
        """Hear of one host's children until it ends; then those that it had are lost."""
        assert host.stdout is not None
        begun, ready = b"", False
        with host.stdout as lines:
            poll = select.poll()
            poll.register(lines, select.POLLIN)
            while True:
                left = self._idle_left(host)
                wait = _LISTEN_SECONDS if left is None else min(max(left, 0.0), _LISTEN_SECONDS)
                if not poll.poll(wait * 1e3):
                    if self._end_idle(host):
                        return
                    if ready:
                        self._end_silent(host)
                    continue
                data = os.read(lines.fileno(), 65_536)
                if not data:
                    break
                ready = True
                *whole, begun = (begun + data).split(b"\n")
                for line in whole:
                    self._hear(orjson.loads(line))
        _wait_for(host)
        with self._lock:
            # In one step with what is lost: no order may go to it after that.
            self._give_up(host)
            lost = [child for child in self._children.values() if child.host == host.pid]
            for child in lost:
                del self._children[child.id]
        if lost:
            process_tree.kill_marked(f"{_MARK}={mark}".encode())
        for child in lost:
            child.status.set_result(HOST_DIED)

    def _hear(self, message: Mapping[str, int]) -> None:
        with self._lock:
            child = self._children.get(message["id"])
            if child is not None and "status" in message:
                del self._children[child.id]
                self._idle_since = time.monotonic()
        if child is None:
            return
        if "pid" in message:
            child.pid = message["pid"]
            child.kill()
        else:
            child.status.set_result(message["status"])

    def _idle_left(self, host: subprocess.Popen[bytes]) -> float | None:
        """Give the seconds until a host is to end; None while there is no such time."""
        if not self.idle_seconds or self._children or host is not self._host:
            return None
        return self._idle_since + self.idle_seconds - time.monotonic()

    def _end_idle(self, host: subprocess.Popen[bytes]) -> bool:
        """End a host whose time is up, and tell whether it was."""
        with self._lock:
            left = self._idle_left(host)
            if left is None or left > 0:
                return False
            self._host = None
            self._hang_up()
        host.kill()  # it has no child, and nothing to put in order
        host.wait()
        logger.info("the host of children had none for %g s and is ended", self.idle_seconds)
        return True

    def _end_silent(self, host: subprocess.Popen[bytes]) -> None:
        """Kill a host that says nothing of a child that was killed: something has stopped it."""
        late = time.monotonic() - _SILENT_SECONDS
        with self._lock:
            silent = any(
                child.host == host.pid and child.stopped_at < late
                for child in self._children.values()
            )
        if silent:
            logger.error("the host of children does not answer and is killed")
            host.kill()


def _wait_for(host: subprocess.Popen[bytes]) -> None:
    """Wait until a host that is ending is gone, but not for long."""
    try:
        host.wait(timeout=5)
    except subprocess.TimeoutExpired:
        host.kill()
        host.wait()


def _close(ends: Sequence[socket.socket]) -> None:
    for end in ends:
        end.close()
