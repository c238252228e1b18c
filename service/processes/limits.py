"""What a job may take, and the words for one that took more."""

import signal
from dataclasses import dataclass
from enum import IntEnum

_CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV)
_SIGNALS = {number.value: number.name for number in signal.Signals}


class LimitExceeded(IntEnum):
    """The status of a job that passed a limit; no job ends with one of these for another reason."""

    MEMORY = 101
    PROCESSES = 102
    DISK = 103


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What a job may take, with all the processes that it starts.

    `seconds` are those of the clock, for whoever waits for the job to stop it, and those of the
    processor for each process. `memory_bytes` is what all processes together may hold, and what
    each may map beyond what it began with. `disk_bytes` is what its folder may hold, with files
    that are deleted but still open.
    """

    seconds: float
    memory_bytes: int
    disk_bytes: int = 2 * 2**30
    processes: int = 32
    """More than any classifier starts: ours start one beside themselves."""

    def reason(self, status: int) -> str:
        """Say why a job ended without a result, from its exit code or minus the signal's number."""
        memory = f"the limit of {spell_bytes(self.memory_bytes)}"
        if status == LimitExceeded.MEMORY:
            return f"It took more memory than {memory}."
        if status == LimitExceeded.PROCESSES:
            return f"It had more processes at one time than the limit of {self.processes}."
        if status == LimitExceeded.DISK:
            return f"It wrote more to the disk than the limit of {spell_bytes(self.disk_bytes)}."
        if status == -signal.SIGXCPU:
            return f"It took more processor time than the limit of {self.seconds:g} s."
        if status >= 0:
            return f"It ended without a result (status {status})."
        name = _SIGNALS.get(-status, f"signal {-status}")
        if status == -signal.SIGKILL:
            return f"It was ended by {name}, most likely because the machine has no memory left."
        if -status in _CRASHES:
            return f"It was ended by {name}, most likely at {memory} of memory."
        return f"It was ended by {name}."


def spell_bytes(count: int) -> str:
    """Write bytes in the unit that is usual for so many."""
    unit, size = ("GiB", 2**30) if count >= 2**30 else ("MiB", 2**20)
    return f"{count / size:.3g} {unit}"
