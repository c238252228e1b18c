"""The packages, as npm installs them from the lock."""

import shutil
import subprocess
from pathlib import Path

_LOCK = "package-lock.json"
_SECONDS = 300


class NotInstalled(Exception):
    """npm is missing, or did not install the packages."""


class DifferentPackage(Exception):
    """A package is not the one that was locked."""


def install(npm: str | None, locked: Path, folder: Path) -> Path:
    """Install what is locked into `folder`, unless it is there; return the folder of packages.

    No script of a package runs. Raises DifferentPackage where a hash differs from that of the
    lock, NotInstalled for any other reason.
    """
    modules, done = folder / "node_modules", folder / "installed"
    lock = (locked / _LOCK).read_bytes()
    if done.is_file() and done.read_bytes() == lock:
        return modules
    if npm is None:
        raise NotInstalled("npm is not installed")
    folder.mkdir(exist_ok=True)
    for name in ("package.json", _LOCK):
        shutil.copy(locked / name, folder / name)
    done.unlink(missing_ok=True)
    _run(npm, folder)
    done.write_bytes(lock)
    return modules


def _run(npm: str, folder: Path) -> None:
    try:
        ran = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
             # By default a machine without a network learns of it after more than a minute.
             "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=4000"],
            cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"npm did not end within {_SECONDS} s") from error
    if ran.returncode == 0:
        return
    lines = [line for line in ran.stderr.splitlines() if "A complete log" not in line]
    if "EINTEGRITY" in ran.stderr:
        raise DifferentPackage(next(line for line in lines if "sha" in line).rstrip("."))
    raise NotInstalled(f"npm failed: {'; '.join(lines[:2])}")
