"""Starts the service with deliberate defects, which the checker must find.

HISTORY_DEFECT is the path of a file that names the defect which it has at the moment, if any. Each
breaks one step of a change on which the promise depends.
"""

import os
import random
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.__main__ import main
from service.api import answering
from service.common.traffic import Traffic
from service.rollout.coordinator import Coordinator
from service.rollout.local_replica import LocalReplica
from service.rollout.replica import Confirmation, Replica, Swapped
from service.server.fast_path import routes

_LATE_SECONDS = 0.5


def _instead(kind: Any, method: str, defect: str, broken: Callable[..., Any]) -> None:
    """Have a method, or a function of a module, broken while the defect is that one.

    `broken` gets the sound one first.
    """
    sound = getattr(kind, method)

    def chosen(*given: Any) -> Any:
        if Path(os.environ["HISTORY_DEFECT"]).read_text() == defect:
            return broken(sound, *given)
        return sound(*given)

    setattr(kind, method, chosen)


def _early(
    switch: Callable[..., Any],
    coordinator: Coordinator,
    replicas: Sequence[Replica],
    leader: str,
    epoch: int,
) -> tuple[list[Confirmation], list[str]]:
    """Answer as soon as the change is committed, before the replicas serve it."""
    threading.Timer(_LATE_SECONDS, switch, (coordinator, replicas, leader, epoch)).start()
    return [Confirmation(one.id, "", epoch) for one in replicas], []


def _late(swap: Callable[..., Swapped], replica: LocalReplica) -> Swapped:
    """Confirm a version at once, and serve it half a second later."""
    staged = replica._staged
    epoch = replica.confirm().epoch if staged is None else staged.served.use.epoch
    replica._hold.engage(False)
    threading.Timer(_LATE_SECONDS, swap, (replica,)).start()
    return Swapped(Confirmation(replica.id, replica.url, epoch), held=True)


def _own(goes: Callable[..., bool], traffic: Traffic, sent: bytes | None) -> bool:
    """Split by the key in a way of this replica's own."""
    return goes(replace(traffic, run_id=str(os.getpid())), sent)


def _never(hold: Callable[..., None], replica: LocalReplica) -> None:
    """Answer predictions while the replicas swap at different moments."""


def _sometime(swap: Callable[..., Swapped], replica: LocalReplica) -> Swapped:
    threading.Event().wait(random.uniform(0, 0.1))
    return replace(swap(replica), held=True)


if __name__ == "__main__":
    _instead(Coordinator, "_switch", "acknowledge-early", _early)
    _instead(LocalReplica, "swap", "late", _late)
    _instead(LocalReplica, "hold", "no-hold", _never)
    _instead(LocalReplica, "swap", "no-hold", _sometime)
    for path in (answering, routes):
        _instead(path, "goes_to_second", "own-split", _own)
    sys.exit(main())
