"""The worker processes of the services in this process."""

import os
from pathlib import Path


def serving() -> set[int]:
    """Return the process ids of the workers that the worker hosts have forked."""
    hosts = [
        child
        for child in children_of(os.getpid())
        if b"service.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return set().union(*map(children_of, hosts))


def children_of(pid: int) -> set[int]:
    """Return the process ids of the children of a process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}
