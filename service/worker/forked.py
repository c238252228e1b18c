"""A worker: a process that the host forks, which waits for its job, does it, and ends."""

import contextlib
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from service.processes import process_tree
from service.processes.limits import JobLimits
from service.processes.messages import (
    Done,
    MessageStream,
    News,
    Outcome,
    Start,
    StartClassifier,
    StartJob,
)
from service.worker import jobs
from service.worker.classify_server import serve

_LARGEST_FILE = 8 * 2**30
_OOM_SCORE_OF_CLASSIFIER = 500
_OOM_SCORE_OF_JOB = 900
"""Where the machine has no memory left, the kernel ends a job, or else a classifier, before the
service."""


def fork(
    close_inherited: Iterable[Callable[[], None]],
) -> tuple[int, MessageStream[News | Outcome]]:
    """Fork a worker that waits for its job; return its process id and the stream to it.

    `close_inherited` closes what it inherits and must not keep. It sends its outcome while the
    kernel still takes its memory apart.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        # Both sides set the group, so that it exists whichever runs first.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid, MessageStream(ours, News | Outcome)
    status = 1
    try:
        _confine()
        for close in (ours.close, *close_inherited):
            close()
        _run(MessageStream(theirs, StartJob | StartClassifier))
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def _run(host: MessageStream[Start]) -> None:
    """Wait for a job, do it, and send its outcome."""
    try:
        start = host.receive_one()
    except EOFError:  # The host needs it no longer.
        return
    if isinstance(start, StartClassifier):
        _set_oom_score(_OOM_SCORE_OF_CLASSIFIER)
        _limit_files(_LARGEST_FILE)
        serve([socket.socket(fileno=file) for file in host.files])
        outcome: Outcome = Done()
    else:
        _set_oom_score(_OOM_SCORE_OF_JOB)
        _limit(start.limits)
        _keep_within(Path(start.folder))
        outcome = jobs.run(start, host.send)
    sys.stdout.flush()
    sys.stderr.flush()
    host.send(outcome)


def _confine() -> None:
    process_tree.die_with_parent()
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_files(largest: int) -> None:
    """Let no file become larger than this many bytes, nor larger than was allowed before."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if allowed != resource.RLIM_INFINITY:
        largest = min(allowed, largest)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def _set_oom_score(score: int) -> None:
    """Have the kernel end this process before those of a lower score."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(score))


def _limit(limits: JobLimits) -> None:
    os.nice(19)
    processor = int(limits.seconds) + 1
    # What is mapped already is five times what is held: Arrow's allocator alone reserves 1 GiB.
    mapped = psutil.Process().memory_info().vms + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (mapped, mapped))
    _limit_files(limits.disk_bytes)
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 5))


def _keep_within(folder: Path) -> None:
    """Have temporary files made in the job's folder, where they are counted and removed."""
    tempfile.tempdir = str(folder)
    os.environ |= {"TMPDIR": str(folder), "JOBLIB_TEMP_FOLDER": str(folder)}
