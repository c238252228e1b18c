"""The worker processes of the services in this process."""

import os
from pathlib import Path

from tests.support.memory import children


def serving() -> set[int]:
    """Return the process ids of the workers that the worker hosts have forked."""
    hosts = [
        child
        for child in children(os.getpid())
        if b"service.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return set().union(*map(children, hosts))
