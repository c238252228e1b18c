"""This process as one of the replicas: what it has at hand, what it serves, who may change it.

A change goes through every replica in steps: *grant* (nobody else changes anything), *prepare* (the
version is loaded and warm), *stage* (the log of use is read, its newest entry is ready to be
served), *hold* (predictions wait, for 250 ms at most) and *swap*. A replica never trusts what it is
told: it reads the log, and takes only a higher epoch than the one it serves.
"""

import logging
import threading
import time
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
"""How long after a step of a change its leader may be silent before another one may begin."""

_RETRY_SECONDS = 30.0
"""How long an entry that cannot be served is left alone: loading it again costs."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """That a replica serves an epoch."""

    id: str
    url: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Swapped:
    """What a replica serves after a swap, and how it came there."""

    confirmation: Confirmation
    held: bool
    """Whether predictions waited until the swap. If not, one may have been answered from the older
    model after another replica had swapped."""


class Replica(Protocol):
    """One that serves: this process, or a peer.

    Each step raises ReplicaDown where the connection is refused and ReplicaSilent where no answer
    comes in time.
    """

    @property
    def id(self) -> str:
        """What it is called where it does not answer."""

    def grant(self, leader: str) -> None:
        """Let `leader` alone change what is served; raises ChangeUnderWay."""

    def release(self, leader: str) -> None:
        """End what `grant` began."""

    def prepare(self, leader: str, version: Version) -> None:
        """Fetch, verify, load and warm a version, and keep it at hand.

        Raises VersionNotServable or RegistryUnavailable.
        """

    def stage(self, leader: str) -> int:
        """Read the log of use and make its newest entry ready; give its epoch."""

    def hold(self) -> None:
        """Let predictions wait until the swap, for a quarter of a second at most."""

    def swap(self) -> Swapped:
        """Serve what is staged, and let predictions go on."""

    def confirm(self) -> Confirmation:
        """Say which epoch is served."""

    def cancel(self, training: str) -> bool:
        """Cancel a training if it runs there; tell whether it does."""


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
    ) -> None:
        self.id = identifier
        self._registry = registry
        self._loader = loader
        self._current_model = current_model
        self._metrics = metrics
        self._last_served = last_served
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

    @property
    def leader(self) -> str | None:
        """Who changes what is served just now, if anybody."""
        with self._lease_lock:
            alive = self._preparing or time.monotonic() < self._leased_until
            return self._leader if alive else None

    def grant(self, leader: str) -> None:
        """Let `leader` alone change what is served; raises ChangeUnderWay."""
        with self._lease_lock:
            alive = self._preparing or time.monotonic() < self._leased_until
            if alive and self._leader not in (None, leader):
                raise ChangeUnderWay
            self._leader = leader
            self._leased_until = time.monotonic() + LEASE_SECONDS

    def release(self, leader: str) -> None:
        """End what `grant` began."""
        with self._lease_lock:
            if self._leader == leader:
                self._leader = None
        self._hold.engage(False)

    def _renew(self, leader: str, preparing: int = 0) -> None:
        with self._lease_lock:
            self._preparing += preparing
            if self._leader == leader:
                self._leased_until = time.monotonic() + LEASE_SECONDS

    def prepare(self, leader: str, version: Version) -> None:
        """Load a version unless it is the one at hand."""
        self._renew(leader, 1)
        try:
            with self._lock:
                if self._prepared is None or self._prepared[0] != version:
                    self._prepared = (version, self._loader.load(version))
        finally:
            self._renew(leader, -1)

    def stage(self, leader: str) -> int:
        """Read the log of use and make its newest entry ready; give the epoch that can be served.

        Raises VersionNotServable, NotFound or RegistryUnavailable.
        """
        self._renew(leader)
        use = self._registry.newest_use()
        with self._lock:
            if use is not None and (self.newest is None or use.epoch >= self.newest.epoch):
                waiting = (
                    use == self.newest
                    and self._current_model.load_error
                    and time.monotonic() < self._retry_at
                )
                self.newest = use
                at_hand = self._staged is not None and self._staged.use == use
                if use.epoch > self._current_model.epoch and not waiting and not at_hand:
                    self._staged = self._load(use)
            return self._current_model.epoch if self._staged is None else self._staged.use.epoch

    def hold(self) -> None:
        """Let predictions wait until the swap, for a quarter of a second at most."""
        self._hold.engage(True)

    def swap(self) -> Swapped:
        """Serve what is staged, and let predictions go on."""
        with self._lock:
            staged, self._staged = self._staged, None
            if staged is not None:
                self._serve(staged)
        # Asked after the swap: a hold that lasts until here has lasted until there.
        held = self._hold.held()
        self._hold.engage(False)
        return Swapped(self.confirm(), held)

    def follow(self) -> Confirmation:
        """Serve the newest entry of the log of use, alone."""
        self.stage("")
        return self.swap().confirmation

    def confirm(self) -> Confirmation:
        """Say which epoch is served."""
        return Confirmation(self.id, self.url, self._current_model.epoch)

    def cancel(self, training: str) -> bool:  # noqa: ARG002
        """Nothing: the trainer of this process is asked before."""
        return False

    def recover(self, epoch: int) -> bool:
        """Serve from the cache what was served before a restart, if that has this epoch.

        For a start without MLflow, once a peer has confirmed the epoch. Raises VersionNotServable.
        """
        kept = self._last_served.read()
        if kept is None or kept[0].epoch != epoch:
            return False
        use, version = kept
        predictor = self._loader.load(version)
        with self._lock:
            # MLflow may have told of a newer one meanwhile.
            if self.newest is None or self.newest.epoch < use.epoch:
                self.newest = use
            self._serve(_Staged(use, version, predictor))
        return True

    def _load(self, use: Use) -> _Staged:
        before = self._current_model.in_use
        prepared, predictor = self._prepared or (None, None)
        try:
            if prepared is not None and _is_of(prepared, use):
                version = prepared  # there is nothing that MLflow could add
            else:
                version = self._registry.get_version(use.name, use.version)
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
            self._retry_at = time.monotonic() + _RETRY_SECONDS
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
            self._last_served.write(use, staged.version)
            logger.info("epoch %d: %s version %d is in use", use.epoch, use.name, use.version)


def _is_of(version: Version, use: Use) -> bool:
    """Tell whether an entry of the log is about this version, to the digest."""
    named = (version.name, version.version, version.digest)
    return bool(use.sha256) and named == (use.name, use.version, use.sha256)


def _is_again(before: LoadedVersion, use: Use, version: Version) -> bool:
    """Tell whether what is served is what an entry puts in use once more."""
    served = (before.name, before.version, before.sha256)
    return served == (use.name, use.version, version.digest)
