"""The process that forks a child for every job and every classifier; started by `children`.

It reads orders from the socket that is its standard input, a message each, with the files that a
child gets, and writes, a line each, the child's process id and how it ended. It has one thread, so
that a fork is safe, and goes, with all children, when its input ends. A fork takes milliseconds,
and so does the end of one: it is made ahead where an order is announced, and a job has ended when
it says so.

It looks at what each job takes, and kills one that passed a limit. Whatever a job starts stays
below the host: an orphan, wherever it has hidden, becomes the host's own child, and is killed.
"""

import contextlib
import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from service.processes import process_tree
from service.processes.host_messages import LONGEST, MOST_FILES, PREFORK, SERVE
from service.processes.job_files import OUTPUT
from service.processes.limits import JobLimits, LimitExceeded
from service.worker.forked import fork
from service.worker.training_job import warm

_FILES = resource.RLIMIT_FSIZE

_LOOK_SECONDS = 0.25
_LONGEST_LOOK_SECONDS = 1.0
_SHARE = 0.005
"""How often jobs are looked at: less often where looking would take more of a core than this."""

_SHOWN_BYTES = 16_384
"""How much of the end of a job's output the log gets."""


@dataclass(slots=True)
class _Worker:
    id: int
    way: socket.socket
    folder: Path | None = None
    limits: JobLimits | None = None
    passed: LimitExceeded | None = None
    told: bool = False
    """Whether the service knows that it has ended."""

    @property
    def watched(self) -> bool:
        """Whether it is a job that is under way."""
        return self.limits is not None and not self.told

    def look(self, pid: int) -> LimitExceeded | None:
        """Give the limit that it has passed."""
        if self.limits is None or self.folder is None:
            return None
        pids = process_tree.tree([pid])
        if len(pids) > self.limits.processes:
            return LimitExceeded.PROCESSES
        if process_tree.memory_of(pids, self.limits.memory_bytes) > self.limits.memory_bytes:
            return LimitExceeded.MEMORY
        if process_tree.disk_of(self.folder, pids) > self.limits.disk_bytes:
            return LimitExceeded.DISK
        return None


class WorkerHost:
    """Forks children, looks after them, and tells how they end."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        # A byte comes here when a child has ended.
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, _Worker] = {}
        self._spare: tuple[int, socket.socket] | None = None
        """A child that waits for an order."""
        self._next_look = 0.0
        self._ends = False

    def run(self) -> None:
        """Serve orders until there are no more."""
        signal.set_wakeup_fd(self._waking.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._call_when_readable(self._orders, self._take)
        self._call_when_readable(self._woken, self._reap)
        while not self._ends:
            for key, _ in self._selector.select(self._pause()):
                key.data()
            if self._pause() == 0:
                self._look()
        self._kill_all()

    def _call_when_readable(self, end: socket.socket, call: Callable[[], None]) -> None:
        self._selector.register(end, selectors.EVENT_READ, call)

    def _pause(self) -> float | None:
        """Give the seconds until jobs are looked at; None while there are none."""
        if not any(child.watched for child in self._children.values()):
            return None
        return max(0.0, self._next_look - time.monotonic())

    def _take(self) -> None:
        """Take an order, or the end of all orders."""
        data, files, _, _ = socket.recv_fds(self._orders, LONGEST, MOST_FILES)
        if not data:
            self._ends = True
            return
        order = orjson.loads(data)
        if order["kind"] == PREFORK:
            self._spare = self._spare or self._fork()
            return
        pid, way = self._ordered(data, files)
        for file in files:
            os.close(file)
        child = self._children[pid] = _Worker(order["id"], way)
        if order["kind"] == SERVE:
            way.close()
        else:
            child.folder, child.limits = Path(order["folder"]), JobLimits(**order["limits"])
            self._call_when_readable(way, partial(self._hear, pid))
        _tell({"id": child.id, "pid": pid})

    def _fork(self) -> tuple[int, socket.socket]:
        ways = (child.way for child in self._children.values())
        return fork((self._selector, self._woken, self._waking, *ways))

    def _ordered(self, order: bytes, files: Sequence[int]) -> tuple[int, socket.socket]:
        """Give an order to a child that waits for one."""
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                # What may have been changed since it was forked.
                resource.prlimit(spare[0], _FILES, resource.getrlimit(_FILES))
                socket.send_fds(spare[1], [order], files)
            except OSError:  # it has ended
                spare[1].close()
            else:
                return spare
        pid, way = self._fork()
        with contextlib.suppress(OSError):  # if it has ended, it is told as its end
            socket.send_fds(way, [order], files)
        return pid, way

    def _hear(self, pid: int) -> None:
        """Hear a job's status; what it leaves behind is killed with it."""
        child = self._children.get(pid)
        if child is None:  # reaped between the select and here
            return
        status = b""
        with contextlib.suppress(OSError):  # it has ended before it took its order
            status = child.way.recv(1)
        self._forget_way(child)
        if status:
            process_tree.kill_trees([pid])
            self._kill_orphans()
            self._end(child, status[0])

    def _forget_way(self, child: _Worker) -> None:
        if child.way.fileno() >= 0:
            self._selector.unregister(child.way)
            child.way.close()

    def _end(self, child: _Worker, status: int) -> None:
        if child.told:
            return
        child.told = True
        if child.folder is not None:
            _show_output(child.folder)
        _tell({"id": child.id, "status": status if child.passed is None else child.passed})

    def _look(self) -> None:
        start = time.process_time()
        for pid, child in self._children.items():
            if child.watched and child.passed is None and (passed := child.look(pid)):
                child.passed = passed
                process_tree.kill_trees([pid])
        self._kill_orphans()
        spent = time.process_time() - start
        pause = min(max(_LOOK_SECONDS, spent / _SHARE), _LONGEST_LOOK_SECONDS)
        self._next_look = time.monotonic() + pause

    def _reap(self) -> None:
        self._woken.recv(4096)
        ended: list[tuple[_Worker, int]] = []
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                if pid in self._children:
                    # Where orphans are nobody's children, they are still in its group.
                    _kill_group(pid)
                    ended.append((self._children.pop(pid), os.waitstatus_to_exitcode(status)))
                elif self._spare is not None and pid == self._spare[0]:
                    self._spare[1].close()
                    self._spare = None
        self._kill_orphans()
        for child, status in ended:
            self._forget_way(child)
            self._end(child, status)

    def _kill_all(self) -> None:
        for pid in self._children:
            _kill_group(pid)
        process_tree.kill_trees(process_tree.children(os.getpid()))

    def _kill_orphans(self) -> None:
        """Kill what children have left behind; nobody else has orphans here."""
        known = {*self._children, *(self._spare or ())[:1]}
        process_tree.kill_trees(
            [pid for pid in process_tree.children(os.getpid()) if pid not in known]
        )


def main() -> None:
    """Serve the orders of standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_tree.adopt_orphans()
    warm()
    _tell({"id": 0})  # no child's: its imports are done, and it answers at once from here on
    with socket.socket(fileno=0) as orders:
        WorkerHost(orders).run()


def _tell(message: dict[str, int]) -> None:
    os.write(1, orjson.dumps(message) + b"\n")


def _show_output(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / OUTPUT).open("rb") as output:
        output.seek(-min(_SHOWN_BYTES, output.seek(0, os.SEEK_END)), os.SEEK_END)
        os.write(2, output.read())


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
