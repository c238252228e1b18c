"""The process that forks a child for every job and every classifier; started by `children`.

It reads orders from the socket that is its standard input, a message each, with the files that a
child gets, and writes, a line each, the child's process id and how it ended. It has one thread, so
that a fork is safe, and goes, with all children, when its input ends.

It looks at what each job takes, and kills one that passed a limit. Whatever a job starts stays
below the host: an orphan, wherever it has hidden, becomes the host's own child, and is killed.
"""

import contextlib
import os
import resource
import selectors
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from service.children import jobs, tree
from service.children.children import SERVE
from service.children.folder import OUTPUT
from service.children.limits import JobLimits, Passed
from service.children.serving import serve
from service.children.training import warm

_LARGEST_FILE = 8 * 2**30
_LONGEST_ORDER = 65_536
_MOST_FILES = 64
_LIKELIER = 500
_LIKELIEST = 900
"""Where memory runs out, the system ends a job, or else a classifier's process, rather than the
service's."""

_LOOK_SECONDS = 0.25
_LONGEST_LOOK_SECONDS = 1.0
_SHARE = 0.005
"""How often jobs are looked at: less often where looking would take more of a core than this."""

_SHOWN_BYTES = 16_384
"""How much of the end of a job's output the log gets."""


@dataclass(slots=True)
class _Child:
    id: int
    folder: Path | None
    limits: JobLimits | None
    passed: Passed | None = None

    def look(self, pid: int) -> Passed | None:
        """Give the limit that it has passed."""
        if self.limits is None or self.folder is None:
            return None
        pids = tree.tree([pid])
        if len(pids) > self.limits.processes:
            return Passed.PROCESSES
        if tree.memory_of(pids, self.limits.memory_bytes) > self.limits.memory_bytes:
            return Passed.MEMORY
        if tree.disk_of(self.folder, pids) > self.limits.disk_bytes:
            return Passed.DISK
        return None


class Host:
    """Forks children, looks after them, and tells how they end."""

    def __init__(self, orders: socket.socket, woken: int) -> None:
        """`woken` is readable when a child has ended."""
        self._orders = orders
        self._woken = woken
        self._children: dict[int, _Child] = {}
        self._next_look = 0.0

    def run(self) -> None:
        """Serve orders until there are no more."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._orders, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(self._pause()):
                    if key.fd == self._woken:
                        os.read(self._woken, 4096)
                        self._reap()
                    elif not self._take():
                        self._kill_all()
                        return
                if self._pause() == 0:
                    self._look()

    def _pause(self) -> float | None:
        """Give the seconds until jobs are looked at; None while there are none."""
        if all(child.limits is None for child in self._children.values()):
            return None
        return max(0.0, self._next_look - time.monotonic())

    def _take(self) -> bool:
        """Take an order; tell whether there was one."""
        data, files, _, _ = socket.recv_fds(self._orders, _LONGEST_ORDER, _MOST_FILES)
        if not data:
            return False
        order = orjson.loads(data)
        child = _Child(order["id"], None, None)
        if order["kind"] != SERVE:
            child.folder, child.limits = Path(order["folder"]), JobLimits(**order["limits"])
        pid = _fork(order["kind"], child, files)
        self._children[pid] = child
        _tell({"id": child.id, "pid": pid})
        return True

    def _look(self) -> None:
        start = time.process_time()
        for pid, child in self._children.items():
            if child.passed is None and (passed := child.look(pid)):
                child.passed = passed
                tree.kill_trees([pid])
        self._kill_orphans()
        spent = time.process_time() - start
        pause = min(max(_LOOK_SECONDS, spent / _SHARE), _LONGEST_LOOK_SECONDS)
        self._next_look = time.monotonic() + pause

    def _reap(self) -> None:
        ended: list[tuple[_Child, int]] = []
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                if pid in self._children:
                    # Where orphans are nobody's children, they are still in its group.
                    _kill_group(pid)
                    ended.append((self._children.pop(pid), os.waitstatus_to_exitcode(status)))
        self._kill_orphans()
        for child, status in ended:
            if child.folder is not None:
                _show_output(child.folder)
            _tell({"id": child.id, "status": status if child.passed is None else child.passed})

    def _kill_all(self) -> None:
        for pid in self._children:
            _kill_group(pid)
        tree.kill_trees(tree.children(os.getpid()))

    def _kill_orphans(self) -> None:
        """Kill what children have left behind; nobody else has orphans here."""
        orphans = [pid for pid in tree.children(os.getpid()) if pid not in self._children]
        tree.kill_trees(orphans)


def main() -> None:
    """Serve the orders of standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tree.adopt_orphans()
    warm()
    _tell({"id": 0})  # no child's: its imports are done, and it answers at once from here on
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with socket.socket(fileno=0) as orders:
        Host(orders, reading).run()


def _tell(message: dict[str, int]) -> None:
    os.write(1, orjson.dumps(message) + b"\n")


def _show_output(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / OUTPUT).open("rb") as output:
        output.seek(-min(_SHOWN_BYTES, output.seek(0, os.SEEK_END)), os.SEEK_END)
        os.write(2, output.read())


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _fork(kind: str, child: _Child, files: Sequence[int]) -> int:
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
        if child.folder is None or child.limits is None:
            _volunteer(_LIKELIER)
            serve([socket.socket(fileno=file) for file in files])
            status = 0
        else:
            _volunteer(_LIKELIEST)
            _limit(child.limits)
            _keep_within(child.folder)
            status = jobs.run(kind, child.folder, child.limits.disk_bytes)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _confine() -> None:
    tree.die_with_parent()
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    _bound_files(_LARGEST_FILE)
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
    mapped = tree.address_space() + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (mapped, mapped))
    _bound_files(limits.disk_bytes)
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor + 5))


def _keep_within(folder: Path) -> None:
    """Have temporary files made in the job's folder, where they are counted and removed."""
    tempfile.tempdir = str(folder)
    os.environ |= {"TMPDIR": str(folder), "JOBLIB_TEMP_FOLDER": str(folder)}


if __name__ == "__main__":
    main()
