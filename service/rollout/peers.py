"""The other replicas: found by a DNS name or a list, and called over HTTP under `/internal/`."""

import logging
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import urllib3

from service.common.errors import (
    ReplicaDown,
    ReplicaSilent,
    ServiceError,
)
from service.rollout.figures import Figures
from service.rollout.peer import Peer
from service.rollout.replica import Replica
from service.rollout.replica_skew import ReplicaSkew
from service.rollout.replica_traffic import ReplicaTraffic

logger = logging.getLogger(__name__)

R = TypeVar("R", Figures, ReplicaSkew, ReplicaTraffic)

_RESOLVE_SECONDS = 3.0
_SETTLED_SECONDS = 6.0
"""How old an answer of the cluster's DNS may be (CoreDNS: 5 s): for that long after this replica
has found itself, another one may not find it."""


class Peers(Protocol):
    """The other replicas."""

    def find(self) -> Sequence[Replica]:
        """Return all that may exist; raises ReplicaSilent where that cannot be found out."""

    def is_discoverable(self) -> bool:
        """Return whether every other replica would find this one by now."""

    def figures(self) -> tuple[Sequence[Figures], Sequence[str]]:
        """Return what the others report of themselves, and the addresses that do not answer."""

    def skew(
        self, version: str, seconds: int, size: int, /
    ) -> tuple[Sequence[ReplicaSkew], Sequence[str]]:
        """Return what the others have counted, and the addresses that do not answer.

        `version` is the key of its counts, `seconds` the window, and `size` that of its layout.
        """

    def traffic(self, epoch: int, /) -> tuple[Sequence[ReplicaTraffic], Sequence[str]]:
        """Return what the others have counted since an epoch, and who does not answer."""

    def close(self) -> None:
        """Release threads and connections."""


class NoPeers:
    """No other replicas."""

    def find(self) -> Sequence[Replica]:
        """Return none."""
        return ()

    def is_discoverable(self) -> bool:
        """Return True: no other replica has to find this one."""
        return True

    def figures(self) -> tuple[Sequence[Figures], Sequence[str]]:
        """Return none."""
        return (), ()

    def skew(self, *_: object) -> tuple[Sequence[ReplicaSkew], Sequence[str]]:
        """Return none."""
        return (), ()

    def traffic(self, _: int) -> tuple[Sequence[ReplicaTraffic], Sequence[str]]:
        """Return none."""
        return (), ()

    def close(self) -> None:
        """Do nothing."""


class DiscoveredPeers:
    """The replicas in a list of addresses, or behind a DNS name; either may include this one."""

    def __init__(self, addresses: Sequence[str], own: str, key: str) -> None:
        """Take URLs, or one `dns://name:port`; `own` is this replica's random id."""
        self._addresses = addresses
        self._own = own
        self._key = key
        self._pool = urllib3.PoolManager(num_pools=64, maxsize=8, retries=False)
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="peers")
        self._watching = ThreadPoolExecutor(16, thread_name_prefix="figures")
        """Threads in which a replica that is silent keeps no change waiting."""
        self._seen_at: float | None = None

    def find(self) -> Sequence[Replica]:
        """Return the others; raises ReplicaSilent where the name cannot be resolved."""
        urls = self._urls()
        return [one for one in self._threads.map(self._identify, urls) if one is not None]

    def close(self) -> None:
        """Release threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._watching.shutdown(wait=False, cancel_futures=True)
        self._pool.clear()

    def figures(self) -> tuple[Sequence[Figures], Sequence[str]]:
        """Return what the others report of themselves, and the addresses that do not answer."""
        return self._ask_all(lambda peer: peer.figures())

    def skew(
        self, version: str, seconds: int, size: int
    ) -> tuple[Sequence[ReplicaSkew], Sequence[str]]:
        """Return what the others have counted, and the addresses that do not answer."""
        return self._ask_all(lambda peer: peer.skew(version, seconds, size))

    def traffic(self, epoch: int) -> tuple[Sequence[ReplicaTraffic], Sequence[str]]:
        """Return what the others have counted since an epoch, and who does not answer."""
        return self._ask_all(lambda peer: peer.traffic(epoch))

    def _ask_all(self, ask: Callable[[Peer], R]) -> tuple[Sequence[R], Sequence[str]]:
        """Ask each once, at the same time, so that this takes no longer than one confirmation."""
        try:
            urls = self._urls()
        except ReplicaSilent:
            return [], ["unknown"]

        def answer_of(url: str) -> R | None:
            try:
                return ask(Peer(url, "", self._key, self._pool))
            except ServiceError:
                return None

        found, missing = list[R](), list[str]()
        for url, answer in zip(urls, self._watching.map(answer_of, urls), strict=True):
            if answer is None:
                missing.append(url)
            elif answer.id != self._own:
                found.append(answer)
        return found, missing

    def is_discoverable(self) -> bool:
        """Return whether every other replica would find this one by now."""
        if not self._named():
            return True
        if self._seen_at is None:
            try:
                self.find()
            except ServiceError as error:
                logger.info("this replica is not found yet: %s", error)
        return self._seen_at is not None and time.monotonic() - self._seen_at >= _SETTLED_SECONDS

    def _named(self) -> bool:
        return self._addresses[0].startswith("dns://")

    def _identify(self, url: str) -> Peer | None:
        """Ask an address for its id; return None for this replica itself.

        Asked each time, since another process may have taken the address over.
        """
        peer = Peer(url, "", self._key, self._pool)
        try:
            identifier = peer.confirm().id
        except ReplicaDown:
            return peer
        except ReplicaSilent:
            return Peer(url, "", self._key, self._pool, unresponsive=True)
        if identifier == self._own:
            if self._seen_at is None:
                self._seen_at = time.monotonic()
            return None
        return Peer(url, identifier, self._key, self._pool)

    def _urls(self) -> list[str]:
        if not self._named():
            return list(self._addresses)
        name = urlsplit(self._addresses[0])
        resolution = self._threads.submit(
            socket.getaddrinfo, name.hostname, name.port, type=socket.SOCK_STREAM
        )
        try:
            addresses = resolution.result(_RESOLVE_SECONDS)
        except (OSError, Late) as error:
            raise ReplicaSilent(f"list ({name.hostname} is not resolved)") from error
        hosts = {address[4][0] for address in addresses}
        return sorted(f"http://{_bracketed(str(host))}:{name.port}" for host in hosts)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
