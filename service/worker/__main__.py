"""The worker host: the process that forks a worker for every job and every classifier.

The service starts it, and `processes.messages` says what they tell each other on the socket that is
its standard input. It has one thread, so that a fork is safe, and ends with all its workers when
that socket is closed. A fork takes milliseconds, and so does the end of a process. Therefore a
worker is forked ahead where a job is announced, and a job has ended when it sends its outcome.

It looks at what each job takes, and kills one that is over a limit. Whatever a job starts stays
below the host: an orphan becomes a child of the host, wherever it has hidden, and is killed.
"""

import contextlib
import os
import resource
import selectors
import signal
import socket
import time
from functools import partial
from pathlib import Path

from service.processes import process_tree
from service.processes.messages import (
    Crashed,
    FromWorker,
    MessageStream,
    News,
    Outcome,
    OverLimit,
    Prefork,
    Ready,
    Start,
    StartClassifier,
    StartJob,
    Stop,
)
from service.worker.forked import fork
from service.worker.hosted_worker import HostedWorker
from service.worker.training_job import warm

_FILES = resource.RLIMIT_FSIZE

_LOOK_SECONDS = 0.25
_LONGEST_LOOK_SECONDS = 1.0
_SHARE = 0.005
"""Jobs are looked at less often where looking would take more than this share of a core."""


class WorkerHost:
    """Forks workers, looks after them, and passes on what they say and how they end."""

    def __init__(self, service: socket.socket) -> None:
        self._service: MessageStream[Prefork | Start | Stop] = MessageStream(
            service, Prefork | StartJob | StartClassifier | Stop
        )
        # A byte arrives here when a child process has ended.
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, HostedWorker] = {}
        """By process id."""
        self._spare: tuple[int, MessageStream[News | Outcome]] | None = None
        """A worker that was forked ahead."""
        self._next_look = 0.0
        self._ends = False

    def run(self) -> None:
        """Serve the service until it closes the connection."""
        signal.set_wakeup_fd(self._waking.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._service.send(Ready())
        self._selector.register(self._service, selectors.EVENT_READ, self._receive)
        self._selector.register(self._woken, selectors.EVENT_READ, self._reap)
        while not self._ends:
            for key, _ in self._selector.select(self._pause()):
                key.data()
            if self._pause() == 0:
                self._look()
        self._kill_all()

    def _pause(self) -> float | None:
        """Return the seconds until jobs are looked at; None while there are none."""
        if not any(worker.is_watched for worker in self._workers.values()):
            return None
        return max(0.0, self._next_look - time.monotonic())

    def _receive(self) -> None:
        try:
            messages = self._service.receive()
        except (EOFError, OSError):
            self._ends = True
            return
        for message in messages:
            match message:
                case Prefork():
                    self._spare = self._spare or self._fork()
                case Stop():
                    self._kill([pid for pid, w in self._workers.items() if w.id == message.worker])
                case _:
                    self._start(message)

    def _start(self, message: Start) -> None:
        count = message.connections if isinstance(message, StartClassifier) else 0
        files = [self._service.files.popleft() for _ in range(count)]
        pid, stream = self._give(message, files)
        for file in files:
            os.close(file)
        worker = self._workers[pid] = HostedWorker(message.worker, stream)
        if isinstance(message, StartJob):
            worker.limits, worker.folder = message.limits, Path(message.folder)
        self._selector.register(stream, selectors.EVENT_READ, partial(self._hear, pid))

    def _fork(self) -> tuple[int, MessageStream[News | Outcome]]:
        streams = [worker.stream.close for worker in self._workers.values()]
        return fork((self._selector.close, self._woken.close, self._waking.close, *streams))

    def _give(self, message: Start, files: list[int]) -> tuple[int, MessageStream[News | Outcome]]:
        """Send a message to a worker that waits for one."""
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                # The limit may have changed since it was forked.
                resource.prlimit(spare[0], _FILES, resource.getrlimit(_FILES))
                spare[1].send(message, files)
            except OSError:  # It has ended.
                spare[1].close()
            else:
                return spare
        pid, stream = self._fork()
        with contextlib.suppress(OSError):  # If it has ended, its end is reported.
            stream.send(message, files)
        return pid, stream

    def _hear(self, pid: int) -> None:
        """Pass on what a worker says."""
        worker = self._workers.get(pid)
        if worker is None:  # It was reaped between the select and here.
            return
        for message in self._messages_of(worker) or ():
            if not isinstance(message, News):
                self._kill([pid])  # What a job leaves behind ends with it.
            self._tell(worker, message)

    def _messages_of(self, worker: HostedWorker) -> list[News | Outcome] | None:
        """Return the messages that are complete; None if nothing has arrived."""
        try:
            return worker.stream.receive(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except (EOFError, OSError):
            self._forget_stream(worker)
            return None
        except ValueError:
            self._forget_stream(worker)
            return [Crashed("It sent something that is no message.")]

    def _forget_stream(self, worker: HostedWorker) -> None:
        if worker.stream.fileno() >= 0:
            self._selector.unregister(worker.stream)
            worker.stream.close()

    def _tell(self, worker: HostedWorker, message: News | Outcome) -> None:
        """Tell the service what a worker says, or how it ended; the first outcome counts."""
        if worker.ended:
            return
        if not isinstance(message, News):
            worker.ended = True
            worker.show_output()
            if worker.exceeded is not None:
                message = OverLimit(worker.exceeded)
        try:
            self._service.send(FromWorker(worker.id, message))
        except OSError:  # The service is gone.
            self._ends = True

    def _look(self) -> None:
        start = time.process_time()
        for pid, worker in self._workers.items():
            if worker.is_watched and (exceeded := worker.look(pid)):
                worker.exceeded = exceeded
                process_tree.kill_trees([pid])
        self._kill_orphans()
        spent = time.process_time() - start
        pause = min(max(_LOOK_SECONDS, spent / _SHARE), _LONGEST_LOOK_SECONDS)
        self._next_look = time.monotonic() + pause

    def _reap(self) -> None:
        """Report the workers that have ended, and kill what they have left behind."""
        self._woken.recv(4096)
        ended: list[tuple[int, int, float]] = []
        with contextlib.suppress(ChildProcessError):
            while (child := os.wait4(-1, os.WNOHANG))[0]:
                pid, status, usage = child
                if pid in self._workers:
                    # Where orphans are not adopted, they are still in its process group.
                    _kill_group(pid)
                    seconds = usage.ru_utime + usage.ru_stime
                    ended.append((pid, os.waitstatus_to_exitcode(status), seconds))
                elif self._spare is not None and pid == self._spare[0]:
                    self._spare[1].close()
                    self._spare = None
        self._kill_orphans()
        for pid, status, seconds in ended:
            worker = self._workers.pop(pid)
            while (messages := self._messages_of(worker)) is not None:
                for message in messages:
                    self._tell(worker, message)
            self._forget_stream(worker)
            self._tell(worker, worker.outcome_of(status, seconds))

    def _kill(self, pids: list[int]) -> None:
        process_tree.kill_trees(pids)
        self._kill_orphans()

    def _kill_all(self) -> None:
        for pid in self._workers:
            _kill_group(pid)
        process_tree.kill_trees(process_tree.children(os.getpid()))

    def _kill_orphans(self) -> None:
        """Kill what workers have left behind; nobody else has orphans here."""
        own = {*self._workers, *(self._spare or ())[:1]}
        process_tree.kill_trees(
            [pid for pid in process_tree.children(os.getpid()) if pid not in own]
        )


def main() -> None:
    """Serve the service at the other end of standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_tree.adopt_orphans()
    warm()
    with socket.socket(fileno=0) as service:
        WorkerHost(service).run()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
