"""A worker host with misbehaving jobs, all bounded so that none outlives a test."""

import contextlib
import mmap
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import service.worker.__main__ as worker_host
from service.worker import jobs
from service.worker.task import Task

_LIFE = 30
"""Seconds after which each of these processes ends by itself."""

_MEBI = 2**20


def _linger() -> None:
    time.sleep(_LIFE)


def _hold(mebibytes: int) -> bytes:
    return b"x" * (mebibytes * _MEBI)


def _fork(work: Callable[[], object]) -> int:
    """Do work in a forked process, which then stays."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            _linger()
        finally:
            os._exit(0)
    return pid


def _behaves(task: Task) -> Any:
    return task.spec


def _eats_memory(_task: Task) -> Any:
    held = [_hold(16) for _ in range(128)]
    _linger()
    return len(held)


def _eats_memory_in_forks(_task: Task) -> Any:
    def hold_and_stay() -> None:
        held = _hold(128)
        _linger()
        del held

    for _ in range(6):
        _fork(hold_and_stay)
    _linger()


def _forks(_task: Task) -> Any:
    for _ in range(200):
        _fork(_linger)
    _linger()


def _forks_in_depth(_task: Task) -> Any:
    """Fork a chain of processes, each in a session of its own."""
    for _ in range(100):
        if os.fork():
            _linger()
            os._exit(0)
        os.setsid()
    _linger()


def _doubles(_task: Task) -> Any:
    """Fork in every process in each of 8 rounds: 256 processes in all."""
    first = os.getpid()
    for _ in range(8):
        os.fork()
    _linger()
    if os.getpid() != first:
        os._exit(0)


def _leaves_a_chain(task: Task) -> Any:
    """Leave a chain of processes: each forks the next one and ends, with the pipe open."""
    os.open(task.folder / "pipe", os.O_WRONLY)
    end = time.monotonic() + _LIFE
    if os.fork() == 0:
        os.setsid()
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
        os._exit(0)
    time.sleep(0.1)
    return {}


def _spins(_task: Task) -> Any:
    end = time.monotonic() + _LIFE
    while time.monotonic() < end:
        pass


def _spins_on(task: Task) -> Any:
    """Spin beyond the limit of processor time, ignoring SIGXCPU."""
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    _spins(task)


def _ignores_signals(task: Task) -> Any:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    (task.folder / "ignores.part").write_text(str(os.getpid()))
    (task.folder / "ignores.part").rename(task.folder / "ignores")
    _linger()


def _leaves_a_session(task: Task) -> Any:
    """Leave two processes that left their group; the parent of one of them has ended."""

    def hide() -> None:
        os.setsid()
        (task.folder / "hidden").touch()

    def hide_well() -> None:
        os.setsid()
        _fork(lambda: (task.folder / "hidden well").touch())
        os._exit(0)

    _fork(hide)
    _fork(hide_well)
    while not ((task.folder / "hidden").exists() and (task.folder / "hidden well").exists()):
        time.sleep(0.01)
    if task.spec["then"] == "stay":
        (task.folder / "ready").touch()
        _linger()
    if task.spec["then"] == "kill the host":
        os.kill(os.getppid(), signal.SIGKILL)
        _linger()
    return {}


def _fills(path: Path, count: int) -> None:
    with path.open("wb") as file:
        for _ in range(count):
            file.write(b"x" * _MEBI)


def _writes_a_large_file(task: Task) -> Any:
    _fills(task.folder / "large", 200)
    _linger()


def _writes_many_files(task: Task) -> Any:
    for number in range(20):
        _fills(task.folder / str(number), 10)
    _linger()


def _writes_temporary_files(task: Task) -> Any:
    for number in range(20):
        _, name = tempfile.mkstemp(suffix=str(number))
        assert Path(name).parent == task.folder
        subprocess.run(["sh", "-c", 'head -c 10485760 /dev/zero >"$TMPDIR/$0"', str(number)])
    _linger()


def _writes_deleted_files(_task: Task) -> Any:
    files = [tempfile.TemporaryFile() for _ in range(20)]  # noqa: SIM115
    for file in files:
        file.write(b"x" * (10 * _MEBI))
        file.flush()
    _linger()


def _prints(_task: Task) -> Any:
    for number in range(200):
        os.write(1 + number % 2, b"x" * _MEBI)
    _linger()


def _says(task: Task) -> Any:
    os.write(2, task.spec["text"].encode() * task.spec["times"])


def _signals(task: Task) -> Any:
    """Send a signal to the host, or to this process."""
    os.kill(os.getpid() if task.spec["to"] == "self" else os.getppid(), task.spec["signal"])
    _linger()


def _maps_memory(_task: Task) -> Any:
    mmap.mmap(-1, 2**44)


def _raises(_task: Task) -> Any:
    raise ZeroDivisionError("a defect of ours")


def _exits(task: Task) -> Any:
    os._exit(task.spec["status"])


def _talks_nonsense(_task: Task) -> Any:
    """Write bytes that are no message to every open socket, and stay."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), b"nonsense\n")
    _linger()


def _reports(task: Task) -> Any:
    """Report progress, and stay until the test has seen it."""
    task.report("halfway", 0.5)
    while not (task.folder / "seen").exists():
        time.sleep(0.01)


def _returns_much(_task: Task) -> Any:
    return ["a word that is not short" for _ in range(200_000)]


MISBEHAVIOURS = {
    work.__name__.strip("_"): work
    for work in (
        _behaves,
        _eats_memory,
        _eats_memory_in_forks,
        _forks,
        _forks_in_depth,
        _doubles,
        _leaves_a_chain,
        _spins,
        _spins_on,
        _ignores_signals,
        _leaves_a_session,
        _writes_a_large_file,
        _writes_many_files,
        _writes_temporary_files,
        _writes_deleted_files,
        _prints,
        _says,
        _signals,
        _maps_memory,
        _raises,
        _exits,
        _talks_nonsense,
        _reports,
        _returns_much,
    )
}

if __name__ == "__main__":
    jobs.JOBS = {**jobs.JOBS, **MISBEHAVIOURS}
    worker_host.main()
