"""What all replicas have counted of a second version beside the one in use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.common.traffic import Compared
from service.rollout.peers import Peers
from service.rollout.replica_traffic import ReplicaTraffic

Count = Callable[[int], Compared | None]
"""Returns what this replica has counted since an epoch; None where it serves another one."""


@dataclass(frozen=True, slots=True)
class AllCounts:
    """The sum over all replicas that answer."""

    compared: Compared
    ids: Sequence[str]
    """The replicas that serve the epoch and have answered."""
    missing: Sequence[str]
    """The addresses of those that do not answer."""


class TrafficCounts:
    """Adds up the counts of replicas; its methods may be called from any thread."""

    def __init__(self, own: str, count: Count, peers: Peers) -> None:
        """`own` is the id of this replica."""
        self._own = own
        self._count = count
        self._peers = peers

    def of_this(self, epoch: int) -> ReplicaTraffic:
        """Return what this replica has counted since an epoch."""
        return ReplicaTraffic(self._own, self._count(epoch))

    def of_all(self, epoch: int) -> AllCounts:
        """Ask all replicas, at the same time, what they have counted since an epoch."""
        others, missing = self._peers.traffic(epoch)
        total, ids = Compared(), list[str]()
        for one in (self.of_this(epoch), *others):
            if one.compared is not None:
                total = total.plus(one.compared)
                ids.append(one.id)
        return AllCounts(total, sorted(ids), missing)
