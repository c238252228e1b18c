"""This process as one of the replicas: what it serves, what it has prepared, who may change it.

A change takes every replica through the same steps: *grant* (it follows this change alone),
*prepare* (the version is loaded and warm), *stage* (the log of use is read, and its newest entry is
ready to be served), *hold* (predictions wait, for 250 ms at most) and *swap*. A replica reads the
log itself instead of trusting its leader, and takes only a higher epoch than the one it serves.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from service.common.domain import Registry, Use, Version
from service.common.errors import ChangeUnderWay, NotFound, VersionNotServable
from service.common.metrics import Metrics
from service.rollout.hold import Hold
from service.rollout.last_served import LastServed
from service.serving.current_model import CurrentModel, LoadedVersion
from service.serving.loader import Loader
from service.serving.predictor import Predictor

logger = logging.getLogger(__name__)

LEASE_SECONDS = 3.0
"""How long after a step of a change another change may begin, if its leader sends no more."""

_RETRY_SECONDS = 30.0
"""How long an entry that cannot be served is not loaded again."""


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


@dataclass(frozen=True, slots=True)
class _Staged:
    use: Use
    version: Version
    predictor: Predictor


class LocalReplica:
    """This process as a replica; its steps may be called from any thread."""

    url = ""

    def __init__(
        self,
        identifier: str,
        registry: Registry,
        loader: Loader,
        current_model: CurrentModel,
        metrics: Metrics,
        last_served: LastServed,
        hold: Hold | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = identifier
        self._registry = registry
        self._loader = loader
        self._current_model = current_model
        self._metrics = metrics
        self._last_served = last_served
        self._clock = clock
        self._lock = threading.Lock()
        self._lease_lock = threading.Lock()
        self._leader: str | None = None
        self._leased_until = 0.0
        self._preparing = 0
        self._prepared: tuple[Version, Predictor] | None = None
        self._staged: _Staged | None = None
        self.newest: Use | None = None
        self._retry_at = 0.0
        self._hold = Hold() if hold is None else hold
        self._served: Version | None = None
        if (last := last_served.read()) is not None:
            loader.pin(last[1])  # a restart without MLflow needs its files

    @property
    def leader(self) -> str | None:
        """The leader of the change under way, if there is one."""
        with self._lease_lock:
            return self._leader if self._is_leased() else None

    def _is_leased(self) -> bool:
        return bool(self._preparing) or self._clock() < self._leased_until

    def grant(self, leader: str) -> None:
        """Reserve this replica for `leader`; raises ChangeUnderWay."""
        with self._lease_lock:
            if self._is_leased() and self._leader not in (None, leader):
                raise ChangeUnderWay
            if self._leader != leader:
                self._prepared = None  # by a leader that has vanished
            self._leader = leader
            self._leased_until = self._clock() + LEASE_SECONDS

    def release(self, leader: str) -> None:
        """End the lease of `leader`, and drop what it had prepared."""
        with self._lease_lock:
            if self._leader == leader:
                self._leader = self._prepared = None
        self._hold.engage(False)

    def _renew(self, leader: str, preparing: int = 0) -> None:
        with self._lease_lock:
            self._preparing += preparing
            if self._leader == leader:
                self._leased_until = self._clock() + LEASE_SECONDS

    def prepare(self, leader: str, version: Version) -> None:
        """Load a version unless it is prepared already."""
        self._renew(leader, 1)
        try:
            with self._lock:
                self._pin(version)
                if self._prepared is None or self._prepared[0] != version:
                    predictor = self._loader.load(version)
                    with self._lease_lock:
                        # The leader may have given up while it was being loaded.
                        if self._leader == leader:
                            self._prepared = (version, predictor)
        finally:
            self._renew(leader, -1)

    def _pin(self, *more: Version) -> None:
        """Keep the files of the version that is served, and of these, in the cache."""
        self._loader.pin(*more, *(() if self._served is None else (self._served,)))

    def stage(self, leader: str) -> int:
        """Read the log of use and make its newest entry ready; return the epoch that can be served.

        Raises VersionNotServable, NotFound or RegistryUnavailable.
        """
        self._renew(leader)
        use = self._registry.newest_use()
        with self._lock:
            if use is not None and (self.newest is None or use.epoch >= self.newest.epoch):
                retry_later = (
                    use == self.newest
                    and self._current_model.load_error
                    and self._clock() < self._retry_at
                )
                self.newest = use
                is_staged = self._staged is not None and self._staged.use == use
                if use.epoch > self._current_model.epoch and not retry_later and not is_staged:
                    self._staged = self._load(use)
            with self._lease_lock:
                if not self._is_leased():
                    self._prepared = None  # by a leader that has vanished
            return self._current_model.epoch if self._staged is None else self._staged.use.epoch

    def hold(self) -> None:
        """Make predictions wait until the swap, for a quarter of a second at most."""
        self._hold.engage(True)

    def swap(self) -> Swapped:
        """Serve what is staged, and end the hold."""
        with self._lock:
            staged, self._staged = self._staged, None
            if staged is not None:
                self._serve(staged)
        # Read after the swap: a hold that has not ended by now had not ended at the swap.
        held = self._hold.held()
        self._hold.engage(False)
        return Swapped(self.confirm(), held)

    def confirm(self) -> Confirmation:
        """Return the epoch that is served."""
        return Confirmation(self.id, self.url, self._current_model.epoch)

    def cancel(self, training: str) -> bool:  # noqa: ARG002
        """Return False: the training queue of this process is asked before the replicas are."""
        return False

    def recover(self, epoch: int) -> bool:
        """Serve from the cache what was served before a restart, if that has this epoch.

        For a start without MLflow, once a peer has confirmed the epoch. Raises VersionNotServable.
        """
        last = self._last_served.read()
        if last is None or last[0].epoch != epoch:
            return False
        use, version = last
        predictor = self._loader.load(version)
        with self._lock:
            # A newer one may have been read from MLflow meanwhile.
            if self.newest is None or self.newest.epoch < use.epoch:
                self.newest = use
            self._serve(_Staged(use, version, predictor))
        return True

    def _load(self, use: Use) -> _Staged:
        before = self._current_model.in_use
        prepared, predictor = self._prepared or (None, None)
        try:
            if prepared is not None and _is_of(prepared, use):
                version = prepared  # MLflow has nothing to add
            else:
                version = self._registry.get_version(use.name, use.version)
            self._pin(version)
            if use.sha256 and use.sha256 != version.digest:
                raise VersionNotServable(
                    use.name, use.version, "it is not the version that was put in use (sha256)."
                )
            if predictor is None or version != prepared:
                if before is not None and _is_again(before, use, version):
                    predictor = before.predictor
                else:
                    predictor = self._loader.load(version)
        except (VersionNotServable, NotFound) as error:
            if self._current_model.load_error != str(error):
                logger.error("epoch %d cannot be served: %s", use.epoch, error)
            self._current_model.load_error = str(error)
            self._retry_at = self._clock() + _RETRY_SECONDS
            raise
        self._prepared = None
        return _Staged(use, version, predictor)

    def _serve(self, staged: _Staged) -> None:
        use, before = staged.use, self._current_model.in_use
        self._current_model.load_error = None
        if self._current_model.swap(staged.predictor, use.epoch, staged.version.digest):
            if before is not None:
                self._metrics.in_use.remove(before.name, str(before.version))
            self._metrics.in_use.labels(use.name, str(use.version)).set(1)
            self._metrics.epoch.set(use.epoch)
            self._served = staged.version
            self._pin()
            self._last_served.write(use, staged.version)
            logger.info("epoch %d: %s version %d is in use", use.epoch, use.name, use.version)


def _is_of(version: Version, use: Use) -> bool:
    """Return whether an entry of the log names this version, with the same digest."""
    named = (version.name, version.version, version.digest)
    return bool(use.sha256) and named == (use.name, use.version, use.sha256)


def _is_again(before: LoadedVersion, use: Use, version: Version) -> bool:
    """Return whether an entry puts the version that is served in use once more."""
    served = (before.name, before.version, before.sha256)
    return served == (use.name, use.version, version.digest)
