"""The process that forks a child for every job and every classifier; started by `children`.

It reads orders from the socket that is its standard input, a message each, with the files that a
child gets, and writes, a line each, the child's process id and how it ended. It has one thread, so
that a fork is safe, and goes, with all children, when its input ends.
"""

import contextlib
import ctypes
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from service.children import jobs
from service.children.children import SERVE
from service.children.serving import serve
from service.children.training import warm
from service.storage import NO_STORAGE

_PR_SET_PDEATHSIG = 1
_LARGEST_FILE = 8 * 2**30
_LONGEST_ORDER = 65_536
_MOST_FILES = 64
_LIKELIER = 500
"""Where memory runs out, the system ends a classifier's process rather than the service's."""


def main() -> None:
    """Serve orders until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, int] = {}
    with selectors.DefaultSelector() as selector, socket.socket(fileno=0) as orders:
        selector.register(orders, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == reading:
                    os.read(reading, 4096)
                    _reap(children)
                    continue
                data, files, _, _ = socket.recv_fds(orders, _LONGEST_ORDER, _MOST_FILES)
                if not data:
                    _kill_all(children)
                    return
                order = orjson.loads(data)
                pid = _fork(order, files)
                children[pid] = order["id"]
                _tell({"id": order["id"], "pid": pid})


def _tell(message: dict[str, int]) -> None:
    os.write(1, orjson.dumps(message) + b"\n")


def _reap(children: dict[int, int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        if pid in children:
            # What the child started and left behind goes with it.
            _kill_group(pid)
            _tell({"id": children.pop(pid), "status": os.waitstatus_to_exitcode(status)})


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _kill_all(children: dict[int, int]) -> None:
    for pid in children:
        _kill_group(pid)


def _fork(order: dict[str, Any], files: Sequence[int]) -> int:
    pid = os.fork()
    if pid:
        for file in files:
            os.close(file)
        # Both sides set the group, so that it exists whoever comes first.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    status = 1
    try:
        _confine()
        if order["kind"] == SERVE:
            with contextlib.suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text(str(_LIKELIER))
            serve([socket.socket(fileno=file) for file in files])
        else:
            _limit(order["memory_bytes"], order["cpu_seconds"])
            jobs.run(order["kind"], Path(order["folder"]))
        status = 0
    except OSError as error:
        if error.errno is None or error.errno not in NO_STORAGE:
            raise
        status = error.errno
    finally:
        sys.stderr.flush()
        os._exit(status)


def _confine() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    allowed, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = _LARGEST_FILE if allowed == resource.RLIM_INFINITY else min(allowed, _LARGEST_FILE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))


if __name__ == "__main__":
    main()
