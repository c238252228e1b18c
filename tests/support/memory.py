"""Memory, open files and threads of processes, as the system counts them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Held:
    """The resources of one process or of several in total; memory in MB of 10^6 bytes."""

    rss: float = 0.0
    pss: float = 0.0
    files: int = 0
    threads: int = 0
    processes: int = 0

    def __add__(self, other: "Held") -> "Held":
        return Held(
            self.rss + other.rss,
            self.pss + other.pss,
            self.files + other.files,
            self.threads + other.threads,
            self.processes + other.processes,
        )


def held(pid: int) -> Held:
    """Return the resources of a process: zeros if it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        rollup = (folder / "smaps_rollup").read_text()
        files, threads = len(os.listdir(folder / "fd")), len(os.listdir(folder / "task"))
    except (FileNotFoundError, ProcessLookupError):
        return Held()
    rss, pss = (int(rollup.split(f"\n{key}:")[1].split()[0]) for key in ("Rss", "Pss"))
    return Held(rss * 1024 / 1e6, pss * 1024 / 1e6, files, threads, 1)


def descendants(pid: int) -> Iterator[int]:
    """Yield all descendants of a process."""
    for child in children(pid):
        yield child
        yield from descendants(child)


def children(pid: int) -> list[int]:
    """Return the direct child processes of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
