"""The interface of replicas: the steps of a change.

Every replica takes the same steps: *grant* (it follows this change alone), *prepare* (the version
is loaded and warm), *stage* (the log of use is read, and its newest entry is ready to be served),
*hold* (predictions wait, for 250 ms at most) and *swap*.
"""

from dataclasses import dataclass
from typing import Protocol

from service.common.domain import Version


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The epoch that a replica serves."""

    id: str
    url: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Swapped:
    """What a replica serves after a swap, and whether its predictions waited for it."""

    confirmation: Confirmation
    held: bool
    """Whether predictions waited until the swap. Otherwise one may have been answered from the
    older model after another replica had swapped."""


class Replica(Protocol):
    """A process that serves: this one, or a peer.

    Each step raises ReplicaDown where the connection is refused, and ReplicaSilent where no answer
    arrives in time.
    """

    @property
    def id(self) -> str:
        """Its id, or its address while it does not answer."""

    def grant(self, leader: str) -> None:
        """Reserve this replica for `leader`; raises ChangeUnderWay."""

    def release(self, leader: str) -> None:
        """End the lease of `leader`, and drop what it had prepared."""

    def prepare(self, leader: str, version: Version) -> None:
        """Fetch, verify, load and warm a version, and keep it until the change ends.

        Raises VersionNotServable or RegistryUnavailable.
        """

    def stage(self, leader: str) -> int:
        """Read the log of use and make its newest entry ready; return its epoch."""

    def hold(self) -> None:
        """Make predictions wait until the swap, for a quarter of a second at most."""

    def swap(self) -> Swapped:
        """Serve what is staged, and end the hold."""

    def confirm(self) -> Confirmation:
        """Return the epoch that is served."""

    def cancel(self, training: str) -> bool:
        """Cancel a training if it is open there; return whether it is."""
