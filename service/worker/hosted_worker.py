"""A worker as its host knows it: what it may take, what it takes, and how it ended."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from service.processes import process_tree
from service.processes.job_files import OUTPUT
from service.processes.limits import JobLimits, LimitExceeded
from service.processes.messages import Crashed, MessageStream, News, Outcome, OverLimit

_SHOWN_BYTES = 16_384
"""How much of the end of a job's output goes to the log."""

_CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV)
_SIGNALS = {number.value: number.name for number in signal.Signals}


@dataclass(slots=True)
class HostedWorker:
    """A worker process; it has limits and a folder if it runs a job."""

    id: int
    stream: MessageStream[News | Outcome]
    limits: JobLimits | None = None
    folder: Path | None = None
    exceeded: LimitExceeded | None = None
    ended: bool = False
    """Whether the service knows its outcome."""

    @property
    def is_watched(self) -> bool:
        """Whether it runs a job, which has limits."""
        return self.limits is not None and not self.ended and self.exceeded is None

    def look(self, pid: int) -> LimitExceeded | None:
        """Return the limit that it is over."""
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

    def show_output(self) -> None:
        """Write the end of what a job printed to the log."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError), (self.folder / OUTPUT).open("rb") as output:
            output.seek(-min(_SHOWN_BYTES, output.seek(0, os.SEEK_END)), os.SEEK_END)
            os.write(2, output.read())

    def outcome_of(self, status: int, processor_seconds: float) -> Outcome:
        """Return how it ended if it did not say so: `status` is its exit code, or -signal."""
        if self.limits is not None:
            # The kernel sends SIGXCPU at the limit, and later SIGKILL to one that ignores it.
            killed_late = status == -signal.SIGKILL and processor_seconds >= self.limits.seconds
            if status == -signal.SIGXCPU or killed_late:
                return OverLimit(LimitExceeded.PROCESSOR)
        if status >= 0:
            return Crashed(f"It ended without a result (status {status}).")
        return Crashed(_reason(-status), status == -signal.SIGKILL)


def _reason(number: int) -> str:
    name = _SIGNALS.get(number, f"signal {number}")
    if number == signal.SIGKILL:
        return f"It was ended by {name}, most likely because the machine has no memory left."
    if number in _CRASHES:
        return f"It was ended by {name}: it crashed, perhaps because it was refused memory."
    return f"It was ended by {name}."
