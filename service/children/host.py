"""The process that forks a child for every job; started by `children`, talked to over pipes.

It reads an order a line and writes, a line each, the child's process id and how it ended. It has
one thread, so that a fork is safe, and goes, with all children, when its input ends.
"""

import contextlib
import ctypes
import os
import resource
import selectors
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from service.children import jobs
from service.children.training import warm

_PR_SET_PDEATHSIG = 1
_LARGEST_FILE = 8 * 2**30


def main() -> None:
    """Serve orders until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    os.set_blocking(0, False)
    children: dict[int, int] = {}
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == reading:
                    os.read(reading, 4096)
                    _reap(children)
                    continue
                data = os.read(0, 65536)
                if not data:
                    _kill_all(children)
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    order = orjson.loads(line)
                    pid = _fork(order)
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


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        # Both sides set the group, so that it exists whoever comes first.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        return pid
    status = 1
    try:
        _confine(order["memory_bytes"], order["cpu_seconds"])
        jobs.run(order["kind"], Path(order["folder"]))
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def _confine(memory_bytes: int, cpu_seconds: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
