"""Starts the service with a deliberate defect, which the checker must find.

HISTORY_MUTANT names the defect. Each breaks one step of a change on which the promise depends.
"""

import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from service.__main__ import main
from service.rollout.coordinator import Coordinator
from service.rollout.replica import Confirmation, LocalReplica, Replica, Swapped

_LATE_SECONDS = 0.5


def _acknowledge_early() -> None:
    """Answer as soon as the change is committed, before the replicas serve it."""
    switch = Coordinator._switch

    def early(
        self: Coordinator, replicas: Sequence[Replica], leader: str, epoch: int
    ) -> tuple[list[Confirmation], list[str]]:
        threading.Timer(_LATE_SECONDS, switch, (self, replicas, leader, epoch)).start()
        return [Confirmation(one.id, "", epoch) for one in replicas], []

    Coordinator._switch = early  # type: ignore[method-assign]


def _stragglers() -> None:
    """Confirm a version at once, and serve it half a second later."""
    swap = LocalReplica.swap

    def late(self: LocalReplica) -> Swapped:
        staged = self._staged
        epoch = self.confirm().epoch if staged is None else staged.use.epoch
        self._hold.engage(False)
        threading.Timer(_LATE_SECONDS, swap, (self,)).start()
        return Swapped(Confirmation(self.id, self.url, epoch), held=True)

    LocalReplica.swap = late  # type: ignore[method-assign]


def _no_hold() -> None:
    """Answer predictions while the replicas swap at different moments."""
    swap = LocalReplica.swap

    def never(self: LocalReplica) -> None:
        pass

    def sometime(self: LocalReplica) -> Swapped:
        threading.Event().wait(random.uniform(0, 0.1))
        return replace(swap(self), held=True)

    LocalReplica.hold = never  # type: ignore[method-assign]
    LocalReplica.swap = sometime  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "acknowledge-early": _acknowledge_early,
    "late": _stragglers,
    "no-hold": _no_hold,
}

if __name__ == "__main__":
    MUTANTS[os.environ["HISTORY_MUTANT"]]()
    sys.exit(main())
