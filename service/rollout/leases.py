"""Every replica reserved for one change, so that no two changes mix."""

import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from service.common.errors import ChangeUnderWay, ReplicaDown
from service.rollout.replica import Replica

Each = Callable[[Sequence[Replica], Callable[[Replica], None]], Iterable[object]]
"""Runs a step on all replicas in parallel."""


class Leases:
    """Reserves replicas for changes that this process leads, one at a time."""

    def __init__(
        self, replicas: Callable[[], list[Replica]], each: Each, wait_seconds: float
    ) -> None:
        """`wait_seconds`: how long a change that is led here waits for another one."""
        self._replicas = replicas
        self._each = each
        self._wait_seconds = wait_seconds
        self._one_change = threading.Lock()

    @contextmanager
    def take(self, wait: float | None = None) -> Iterator[tuple[str, list[Replica]]]:
        """Find the replicas and reserve each for this change.

        All changes ask in the same order, so that of two concurrent ones one is granted all
        replicas. `wait`: how long one led by another replica may take to end; then ChangeUnderWay
        is raised. Raises ReplicaSilent where a replica does not answer: it may still be serving.
        """
        deadline = time.monotonic() + (self._wait_seconds if wait is None else wait)
        if not self._one_change.acquire(timeout=self._wait_seconds):
            raise ChangeUnderWay
        try:
            leader = uuid.uuid4().hex
            granted: list[Replica] = []
            try:
                for replica in self._replicas():
                    try:
                        _await_grant(replica, leader, deadline)
                    except ReplicaDown:
                        continue  # it serves no client
                    granted.append(replica)
                yield leader, granted
            finally:
                list(self._each(granted, lambda replica: replica.release(leader)))
        finally:
            self._one_change.release()


def _await_grant(replica: Replica, leader: str, deadline: float) -> None:
    """Reserve a replica as soon as no other change holds it; raises its error at the deadline."""
    while True:
        try:
            return replica.grant(leader)
        except ChangeUnderWay:
            if time.monotonic() > deadline:
                raise
            time.sleep(secrets.SystemRandom().uniform(0.01, 0.05))
