"""A host of children whose jobs behave badly, each within bounds, so that none outlives a test."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import service.worker.__main__ as worker_host
from service.worker import jobs

_LIFE = 30
"""Seconds after which every one of these processes is gone by itself."""

_MEBI = 2**20


def _linger() -> None:
    time.sleep(_LIFE)


def _hold(mebibytes: int) -> bytes:
    return b"x" * (mebibytes * _MEBI)


def _fork(work: Callable[[], object]) -> int:
    """Do work in a process of its own, which then stays."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            _linger()
        finally:
            os._exit(0)
    return pid


def _behaves(_folder: Path, order: Mapping[str, Any]) -> Any:
    return order


def _eats_memory(_folder: Path, _order: Mapping[str, Any]) -> Any:
    held = [_hold(16) for _ in range(128)]
    _linger()
    return len(held)


def _eats_memory_in_forks(_folder: Path, _order: Mapping[str, Any]) -> Any:
    def hold_and_stay() -> None:
        held = _hold(128)
        _linger()
        del held

    for _ in range(6):
        _fork(hold_and_stay)
    _linger()


def _forks(_folder: Path, _order: Mapping[str, Any]) -> Any:
    for _ in range(200):
        _fork(_linger)
    _linger()


def _forks_in_depth(_folder: Path, _order: Mapping[str, Any]) -> Any:
    """Have each fork the next one, in a session of its own."""
    for _ in range(100):
        if os.fork():
            _linger()
            os._exit(0)
        os.setsid()
    _linger()


def _doubles(_folder: Path, _order: Mapping[str, Any]) -> Any:
    """Have every process fork in each of 8 rounds: 256 in all."""
    first = os.getpid()
    for _ in range(8):
        os.fork()
    _linger()
    if os.getpid() != first:
        os._exit(0)


def _leaves_a_chain(folder: Path, _order: Mapping[str, Any]) -> Any:
    """Leave a process that forks the next one and ends, and so on; each has the pipe open."""
    os.open(folder / "pipe", os.O_WRONLY)
    end = time.monotonic() + _LIFE
    if os.fork() == 0:
        os.setsid()
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
        os._exit(0)
    time.sleep(0.1)
    return {}


def _spins(_folder: Path, _order: Mapping[str, Any]) -> Any:
    end = time.monotonic() + _LIFE
    while time.monotonic() < end:
        pass


def _ignores_signals(folder: Path, _order: Mapping[str, Any]) -> Any:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    (folder / "ignores").touch()
    _linger()


def _leaves_a_session(folder: Path, order: Mapping[str, Any]) -> Any:
    """Leave one behind that has gone from its group, and one whose parent has ended besides."""

    def hide() -> None:
        os.setsid()
        (folder / "hidden").touch()

    def hide_well() -> None:
        os.setsid()
        _fork(lambda: (folder / "hidden well").touch())
        os._exit(0)

    _fork(hide)
    _fork(hide_well)
    while not ((folder / "hidden").exists() and (folder / "hidden well").exists()):
        time.sleep(0.01)
    if order["then"] == "stay":
        (folder / "ready").touch()
        _linger()
    if order["then"] == "kill the host":
        os.kill(os.getppid(), signal.SIGKILL)
        _linger()
    return {}


def _fills(path: Path, count: int) -> None:
    with path.open("wb") as file:
        for _ in range(count):
            file.write(b"x" * _MEBI)


def _writes_a_large_file(folder: Path, _order: Mapping[str, Any]) -> Any:
    _fills(folder / "large", 200)
    _linger()


def _writes_many_files(folder: Path, _order: Mapping[str, Any]) -> Any:
    for number in range(20):
        _fills(folder / str(number), 10)
    _linger()


def _writes_temporary_files(folder: Path, _order: Mapping[str, Any]) -> Any:
    for number in range(20):
        _, name = tempfile.mkstemp(suffix=str(number))
        assert Path(name).parent == folder
        subprocess.run(["sh", "-c", 'head -c 10485760 /dev/zero >"$TMPDIR/$0"', str(number)])
    _linger()


def _writes_deleted_files(_folder: Path, _order: Mapping[str, Any]) -> Any:
    files = [tempfile.TemporaryFile() for _ in range(20)]  # noqa: SIM115
    for file in files:
        file.write(b"x" * (10 * _MEBI))
        file.flush()
    _linger()


def _prints(_folder: Path, _order: Mapping[str, Any]) -> Any:
    for number in range(200):
        os.write(1 + number % 2, b"x" * _MEBI)
    _linger()


def _says(_folder: Path, order: Mapping[str, Any]) -> Any:
    os.write(2, order["text"].encode() * order["times"])


def _signals(_folder: Path, order: Mapping[str, Any]) -> Any:
    """Send a signal to the host, or to itself."""
    os.kill(os.getpid() if order["to"] == "self" else os.getppid(), order["signal"])
    _linger()


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
        _ignores_signals,
        _leaves_a_session,
        _writes_a_large_file,
        _writes_many_files,
        _writes_temporary_files,
        _writes_deleted_files,
        _prints,
        _says,
        _signals,
    )
}

if __name__ == "__main__":
    jobs.JOBS = MISBEHAVIOURS
    worker_host.main()
