"""Trials in processes that are forked from that of the training.

Each process keeps its prepared folds and serves one trial after the other. One that is killed, or
takes more memory than its share, costs the trial that it was at, and another takes its place. All
of them count for the limits of the training.
"""

import contextlib
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import msgspec
import psutil

from service.common.errors import UnusableData
from service.processes import process_tree
from service.processes.messages import MessageStream
from service.schema.search import Metric
from service.worker.learning.folds import Folds
from service.worker.search.trials import Event, FoldScored, Proposal, TrialFailed

_SHARE = 0.8
"""Of the memory that is left to the training, for all trials together."""


class _Score(msgspec.Struct, frozen=True, tag=True):
    """To the process: score this fold of a candidate."""

    fold: int
    model_type: str
    params: Mapping[str, Any]


class _Scored(msgspec.Struct, frozen=True, tag=True):
    """From the process: the value of the fold that it was asked for."""

    value: float


class _Refused(msgspec.Struct, frozen=True, tag=True):
    """From the process: why the fold has no value."""

    reason: str


class _OutOfMemory(msgspec.Struct, frozen=True, tag=True):
    """From the process, which ends: the fold took more memory than its share."""


_Reply = _Scored | _Refused | _OutOfMemory


class _Slot:
    """A process, and the trial that it is at."""

    def __init__(self, pid: int, stream: MessageStream[_Reply]) -> None:
        self.pid = pid
        self.stream = stream
        self.trial: Proposal | None = None
        self.fold = 0


class ForkedTrials:
    """The port `TrialRunner` in forked processes."""

    def __init__(self, folds: Folds, fixed: Mapping[str, Any], metric: Metric, slots: int) -> None:
        """Score candidates on these folds, with the parameters that the request fixes."""
        self._folds = folds
        self._fixed = fixed
        self._metric = metric
        self._slots = slots
        self._processes: list[_Slot] = []
        self._selector = selectors.DefaultSelector()

    @property
    def slots(self) -> int:
        """The number of trials that run at the same time."""
        return self._slots

    @property
    def pids(self) -> Sequence[int]:
        """The processes that there are now."""
        return [slot.pid for slot in self._processes]

    def begin(self, proposal: Proposal) -> None:
        """Start the trial in a free process, or in a new one."""
        slot = next((one for one in self._processes if one.trial is None), None) or self._fork()
        slot.trial, slot.fold = proposal, 0
        self._ask(slot)

    def go_on(self, number: int) -> None:
        """Have a trial that waits score its next fold."""
        slot = self._at(number)
        slot.fold += 1
        self._ask(slot)

    def end(self, number: int) -> None:
        """Free the process of a trial that waits."""
        self._at(number).trial = None

    def events(self, seconds: float) -> Sequence[Event]:
        """Wait for at most that long, and return what has happened."""
        return [
            event for key, _ in self._selector.select(seconds) for event in self._hear(key.data)
        ]

    def close(self) -> None:
        """Kill all processes."""
        for slot in list(self._processes):
            self._remove(slot)
        self._selector.close()

    def _at(self, number: int) -> _Slot:
        return next(one for one in self._processes if one.trial and one.trial.number == number)

    def _ask(self, slot: _Slot) -> None:
        assert slot.trial is not None
        params = {**self._fixed, **slot.trial.params}
        with contextlib.suppress(OSError):  # If it has ended, that is read from the stream.
            slot.stream.send(_Score(slot.fold, slot.trial.model_type, params))

    def _hear(self, slot: _Slot) -> list[Event]:
        """Return what a process says; one that has ended is removed."""
        try:
            replies: Sequence[_Reply] = slot.stream.receive()
        except (EOFError, OSError, ValueError):
            return self._fail(slot, f"Its process ended early: {self._remove(slot)}.")
        events: list[Event] = []
        for reply in replies:
            assert slot.trial is not None
            match reply:
                case _Scored(value):
                    events.append(FoldScored(slot.trial.number, value))
                case _Refused(reason):
                    events += self._fail(slot, reason)
                case _OutOfMemory():
                    self._remove(slot)
                    events += self._fail(slot, "It took more memory than one trial may.")
        return events

    def _fail(self, slot: _Slot, reason: str) -> list[Event]:
        trial, slot.trial = slot.trial, None
        return [] if trial is None else [TrialFailed(trial.number, reason)]

    def _remove(self, slot: _Slot) -> str:
        """Kill a process, and return how it has ended."""
        self._processes.remove(slot)
        self._selector.unregister(slot.stream)
        slot.stream.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(slot.pid, 0)[1])
        return f"status {status}" if status >= 0 else signal.Signals(-status).name

    def _fork(self) -> _Slot:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        memory = _memory_share(self._slots)
        pid = os.fork()
        if not pid:
            inherited = [ours, *(one.stream for one in self._processes)]
            self._serve(theirs, inherited, memory)
        theirs.close()
        slot = _Slot(pid, MessageStream(ours, _Reply))
        self._processes.append(slot)
        self._selector.register(slot.stream, selectors.EVENT_READ, slot)
        return slot

    def _serve(self, theirs: socket.socket, inherited: Sequence[Any], memory: int) -> NoReturn:
        """Score folds in the forked process until the training closes the connection."""
        status = 1
        try:
            process_tree.die_with_parent()
            self._selector.close()
            for end in inherited:
                end.close()
            if memory:
                _, most = resource.getrlimit(resource.RLIMIT_AS)
                resource.setrlimit(resource.RLIMIT_AS, (memory, most))
            _answer(MessageStream(theirs, _Score), self._folds, self._metric)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)


def _answer(training: MessageStream[_Score], folds: Folds, metric: Metric) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            for asked in training.receive():
                reply = _score(folds, asked, metric)
                training.send(reply)
                if isinstance(reply, _OutOfMemory):
                    return


def _score(folds: Folds, asked: _Score, metric: Metric) -> _Reply:
    try:
        with warnings.catch_warnings():
            # Candidates that do not converge are what a search passes over.
            warnings.simplefilter("ignore")
            return _Scored(folds.score(asked.fold, asked.model_type, asked.params, metric))
    except UnusableData as error:
        return _Refused(str(error))
    except MemoryError:
        return _OutOfMemory()
    except Exception:
        # A defect costs the trial; the log learns of it.
        traceback.print_exc()
        return _Refused("It met an internal error.")


def _memory_share(slots: int) -> int:
    """Return what one of that many processes may map; 0 where the training has no limit."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return 0
    mapped = psutil.Process().memory_info().vms
    return mapped + int(max(0, most - mapped) * _SHARE / slots)
