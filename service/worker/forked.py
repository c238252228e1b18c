"""A process that the host forks: it waits for its order, carries it out, and ends."""

import contextlib
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson

from service.processes import process_tree
from service.processes.host_messages import LONGEST, MOST_FILES, SERVE
from service.processes.limits import JobLimits
from service.worker import jobs
from service.worker.classify_server import serve

_LARGEST_FILE = 8 * 2**30
_LIKELIER = 500
_LIKELIEST = 900
"""Where memory runs out, the system ends a job, or else a classifier's process, rather than the
service's."""


class Closable(Protocol):
    """What a child inherits and must not keep."""

    def close(self) -> None:
        """Close it in this process."""


def fork(inherited: Iterable[Closable]) -> tuple[int, socket.socket]:
    """Fork a child that waits for its order; give its process id, and the way to it.

    The order is one message, with the files that it needs. A job answers with its exit status, a
    byte, while the system still takes its memory apart.
    """
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        # Both sides set the group, so that it exists whoever comes first.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid, ours
    status = 1
    try:
        _confine()
        for kept in (ours, *inherited):
            kept.close()
        status = _live(theirs)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _live(host: socket.socket) -> int:
    """Wait for an order, and do what it says; give the exit status."""
    data, files, _, _ = socket.recv_fds(host, LONGEST, MOST_FILES)
    if not data:
        return 0
    order: Mapping[str, Any] = orjson.loads(data)
    if order["kind"] == SERVE:
        host.close()
        _volunteer(_LIKELIER)
        _bound_files(_LARGEST_FILE)
        serve([socket.socket(fileno=file) for file in files])
        return 0
    folder, limits = Path(order["folder"]), JobLimits(**order["limits"])
    _volunteer(_LIKELIEST)
    _limit(limits)
    _keep_within(folder)
    status = jobs.run(order["kind"], folder, limits.disk_bytes)
    sys.stdout.flush()
    sys.stderr.flush()
    host.send(bytes([status]))
    return status


def _confine() -> None:
    process_tree.die_with_parent()
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_files(largest: int) -> None:
    """Let no file become larger than so many bytes, nor than it might before."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if allowed != resource.RLIM_INFINITY:
        largest = min(allowed, largest)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def _volunteer(score: int) -> None:
    """Be ended by the system before others where memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(score))


def _limit(limits: JobLimits) -> None:
    os.nice(19)
    processor = int(limits.seconds) + 1
    # What is mapped already is five times what is held: Arrow's allocator alone reserves 1 GiB.
    mapped = process_tree.address_space() + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (mapped, mapped))
    _bound_files(limits.disk_bytes)
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 5))


def _keep_within(folder: Path) -> None:
    """Have temporary files made in the job's folder, where they are counted and removed."""
    tempfile.tempdir = str(folder)
    os.environ |= {"TMPDIR": str(folder), "JOBLIB_TEMP_FOLDER": str(folder)}
