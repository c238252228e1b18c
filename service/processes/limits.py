"""What a job may take, and the sentences about one that took more."""

from dataclasses import dataclass
from enum import StrEnum


class LimitExceeded(StrEnum):
    """The limit that a job went over."""

    MEMORY = "memory"
    PROCESSES = "processes"
    DISK = "disk"
    PROCESSOR = "processor"


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What a job may take, together with all the processes that it starts.

    `seconds` limits the wall-clock time, which the caller of the job enforces, and the processor
    time of each process. `memory_bytes` limits what all processes together hold, and what each maps
    beyond what it started with. `disk_bytes` limits the job's folder, including files that are
    deleted but still open.
    """

    seconds: float
    memory_bytes: int
    disk_bytes: int = 2 * 2**30
    processes: int = 32
    """More than any classifier starts."""

    def reason(self, limit: LimitExceeded) -> str:
        """Return the sentence that says which limit a job went over."""
        what, most = {
            LimitExceeded.MEMORY: ("took more memory", spell_bytes(self.memory_bytes)),
            LimitExceeded.PROCESSES: ("had more processes at one time", self.processes),
            LimitExceeded.DISK: ("wrote more to the disk", spell_bytes(self.disk_bytes)),
            LimitExceeded.PROCESSOR: ("took more processor time", f"{self.seconds:g} s"),
        }[limit]
        return f"It {what} than the limit of {most}."


def spell_bytes(count: int) -> str:
    """Write a number of bytes in MiB or GiB."""
    unit, size = ("GiB", 2**30) if count >= 2**30 else ("MiB", 2**20)
    return f"{count / size:.3g} {unit}"
