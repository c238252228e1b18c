"""The releases that a lock pins."""

import re
from pathlib import Path
from typing import NamedTuple

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


class Pin(NamedTuple):
    """A pinned release."""

    name: str
    version: str


def pins(lock: Path) -> list[Pin]:
    """Return all pins of a lock, for every platform and version of Python."""
    return [Pin(normal(name), version) for name, version in _PIN.findall(lock.read_text())]


def normal(name: str) -> str:
    """Return a name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()
