"""The processes that descend from one: which they are, what they hold, and their end.

All of it is read from Linux's /proc. Elsewhere nothing is found, and a job is its process group.
"""

import contextlib
import ctypes
import os
import signal
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PAGE = os.sysconf("SC_PAGE_SIZE")
_BLOCK = 512
"""The unit of `st_blocks`, whatever the file system's own is."""
_SMALLEST = 4096
"""What a file counts at least: empty ones fill a disk as well."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Be killed when the process ends that forked this one."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def children(pid: int) -> list[int]:
    """Give the children of a process; none where it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def tree(roots: Iterable[int]) -> list[int]:
    """Give processes and all that descend from them, parents first."""
    found = list(roots)
    for pid in found:
        found.extend(children(pid))  # and these have their turn in this same loop
    return found


def kill_trees(roots: Collection[int]) -> None:
    """Kill children of this process and all that descends from them.

    They may fork meanwhile, so it looks again until there is nobody new: who is killed forks no
    more. Who slips through loses its parents by that, and comes to whoever adopts orphans. A root
    keeps its number, since nobody but this process can reap it. Any other process must have one of
    these as its parent still, or it could be a stranger with the number of one that has ended.
    """
    seen: set[int] = set()
    killed = {os.getpid()}
    while new := [pid for pid in tree(roots) if pid not in seen]:
        for pid in new:
            if pid in roots or _parent(pid) in killed:
                kill(pid)
                killed.add(pid)
        seen.update(new)


def kill_marked(mark: bytes) -> None:
    """Kill all processes that have this text in the environment that they were started with."""
    killed: set[int] = set()
    while new := [pid for pid in _marked(mark) if pid not in killed]:
        for pid in new:
            kill(pid)
        killed.update(new)


def kill(pid: int) -> None:
    """Kill a process, unless it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def address_space() -> int:
    """Give the bytes that this process has mapped; 0 where that is not known."""
    pages = _read("/proc/self/statm").split()
    return int(pages[0]) * _PAGE if pages else 0


def memory_of(pids: Iterable[int], enough: int) -> int:
    """Give the bytes of memory that processes hold; more exactly where it is more than `enough`.

    A page that several share counts for each at first, which is quick to be read, and by its
    shares (PSS) if that matters.
    """
    pids = list(pids)
    resident = sum(map(_resident, pids))
    return resident if resident <= enough else sum(map(_proportional, pids))


def disk_of(folder: Path, pids: Iterable[int]) -> int:
    """Give the bytes on disk of a folder, and of the deleted files that processes have open."""
    files = {(found.st_dev, found.st_ino): found for found in _files(str(folder))}
    for pid in pids:
        files |= {(found.st_dev, found.st_ino): found for found in _deleted(pid)}
    return sum(max(found.st_blocks * _BLOCK, _SMALLEST) for found in files.values())


def _read(path: str) -> bytes:
    """Read one of /proc's files; nothing where the process is gone, or hides it."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _parent(pid: int) -> int | None:
    after_name = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(after_name[1]) if after_name else None


def _marked(mark: bytes) -> Iterator[int]:
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        if name.isdigit() and mark in _read(f"/proc/{name}/environ"):
            yield int(name)


def _resident(pid: int) -> int:
    pages = _read(f"/proc/{pid}/statm").split()
    return int(pages[1]) * _PAGE if pages else 0


def _proportional(pid: int) -> int:
    _, found, rest = _read(f"/proc/{pid}/smaps_rollup").partition(b"\nPss:")
    return int(rest.split()[0]) * 1024 if found else _resident(pid)


def _files(folder: str) -> Iterator[os.stat_result]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)


def _deleted(pid: int) -> Iterator[os.stat_result]:
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found = os.stat(f"/proc/{pid}/fd/{name}")
                if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                    yield found
