"""The change of the model in use: prepare everywhere, commit once, tell everyone, then answer.

The log of use in the registry decides: its newest entry is what is in use. A replica never trusts
what it is told; it reads the log, and takes only a higher epoch than the one it serves.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.errors import (
    NotFound,
    RegistryUnavailable,
    ServiceError,
    VersionInUse,
    VersionNotServable,
)
from service.loader import Loader
from service.metrics import Metrics
from service.model import Registry, Use, Version
from service.predictor import Predictor
from service.slot import Slot

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 30.0
"""How long an entry that cannot be served is left alone: loading it again costs."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """That a replica serves an epoch."""

    id: str
    url: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a change."""

    use: Use
    previous: Use | None
    replicas: Sequence[Confirmation]
    missing: Sequence[str]
    seconds: float


class Replica(Protocol):
    """One that serves: this process, or a peer."""

    @property
    def id(self) -> str:
        """What it is called where it does not answer."""

    @property
    def url(self) -> str:
        """Where it is reached; empty for this process."""

    def prepare(self, version: Version) -> None:
        """Fetch, verify, load and warm a version, and keep it at hand.

        Raises VersionNotServable, RegistryUnavailable or ReplicaSilent.
        """

    def follow(self) -> Confirmation:
        """Read the log of use, serve its newest entry, and confirm the epoch."""

    def confirm(self) -> Confirmation:
        """Say which epoch is served."""


class LocalReplica:
    """This process as a replica."""

    url = ""

    def __init__(
        self, identifier: str, registry: Registry, loader: Loader, slot: Slot, metrics: Metrics
    ) -> None:
        self.id = identifier
        self._registry = registry
        self._loader = loader
        self._slot = slot
        self._metrics = metrics
        self._lock = threading.Lock()
        self._prepared: tuple[Version, Predictor] | None = None
        self.newest: Use | None = None
        self._retry_at = 0.0

    def prepare(self, version: Version) -> None:
        """Load a version unless it is the one at hand."""
        with self._lock:
            if self._prepared is None or self._prepared[0] != version:
                self._prepared = (version, self._loader.load(version))

    def follow(self) -> Confirmation:
        """Read the log of use and serve its newest entry."""
        use = self._registry.newest_use()
        with self._lock:
            if use is not None and (self.newest is None or use.epoch >= self.newest.epoch):
                waiting = (
                    use == self.newest and self._slot.trouble and time.monotonic() < self._retry_at
                )
                self.newest = use
                if use.epoch > self._slot.epoch and not waiting:
                    self._serve(use)
        return self.confirm()

    def _serve(self, use: Use) -> None:
        before = self._slot.in_use
        try:
            version = self._registry.get_version(use.name, use.version)
            if use.sha256 and use.sha256 != version.digest:
                raise VersionNotServable(
                    use.name, use.version, "it is not the version that was put in use (sha256)."
                )
            if self._prepared is not None and self._prepared[0] == version:
                predictor = self._prepared[1]
            elif (
                before
                and (before.name, before.sha256) == (use.name, version.digest)
                and (before.version == use.version)
            ):
                predictor = before.predictor
            else:
                predictor = self._loader.load(version)
        except (VersionNotServable, NotFound) as error:
            if self._slot.trouble != str(error):
                logger.error("epoch %d cannot be served: %s", use.epoch, error)
            self._slot.trouble = str(error)
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            raise
        self._prepared = None
        self._slot.trouble = None
        if self._slot.swap(predictor, use.epoch, version.digest):
            if before is not None:
                self._metrics.in_use.remove(before.name, str(before.version))
            self._metrics.in_use.labels(use.name, str(use.version)).set(1)
            self._metrics.epoch.set(use.epoch)
            logger.info("epoch %d: %s version %d is in use", use.epoch, use.name, use.version)

    def confirm(self) -> Confirmation:
        """Say which epoch is served."""
        return Confirmation(self.id, self.url, self._slot.epoch)


class Replicas:
    """All that serve, seen from this one."""

    def __init__(
        self, local: LocalReplica, peers: Sequence[Replica], registry: Registry, metrics: Metrics
    ) -> None:
        self._local = local
        self._peers = peers
        self._registry = registry
        self._metrics = metrics
        self._one_change = threading.Lock()

    def use(self, version: Version, by: str) -> Change:
        """Put a version in use in every replica.

        Raises VersionNotServable, RegistryUnavailable or ReplicaSilent where nothing has changed
        (or, if RegistryUnavailable says so, the outcome is unknown).
        """
        start = time.monotonic()
        everyone: list[Replica] = [self._local, *self._peers]
        try:
            with self._one_change:
                for replica in everyone:
                    replica.prepare(version)
                previous = self._registry.newest_use()
                use = self._registry.commit_use(version, by)
                confirmations, missing = self._tell(everyone, use)
        except ServiceError as error:
            outcome = "refused" if isinstance(error, VersionNotServable) else "failed"
            self._metrics.changes.labels(outcome).inc()
            raise
        self._metrics.changes.labels("changed").inc()
        return Change(use, previous, confirmations, missing, time.monotonic() - start)

    @staticmethod
    def _tell(everyone: Sequence[Replica], use: Use) -> tuple[list[Confirmation], list[str]]:
        """Ask each to follow the log; one that does not reach the epoch is missing."""
        confirmations: list[Confirmation] = []
        missing: list[str] = []
        for replica in everyone:
            try:
                confirmation = replica.follow()
            except (ServiceError, OSError) as error:
                logger.warning("a replica does not follow epoch %d: %s", use.epoch, error)
                missing.append(replica.id)
                continue
            if confirmation.epoch >= use.epoch:
                confirmations.append(confirmation)
            else:
                missing.append(replica.id)
        return confirmations, missing

    def delete(self, name: str, version: int) -> None:
        """Delete a version; raises VersionInUse. No change of this replica comes in between."""
        with self._one_change:
            newest = self._registry.newest_use()
            if newest is not None and (newest.name, newest.version) == (name, version):
                raise VersionInUse(name, version)
            self._registry.delete_version(name, version)

    def status(self) -> tuple[Use | None, list[Confirmation], list[str]]:
        """Give what is in use, who confirms it, and who does not answer."""
        confirmations: list[Confirmation] = []
        missing: list[str] = []
        for replica in [self._local, *self._peers]:
            try:
                confirmations.append(replica.confirm())
            except (ServiceError, OSError):
                missing.append(replica.id)
        return self._local.newest, confirmations, missing


class Poller:
    """Follows the log of use in a thread of its own, which makes up for whatever was not told."""

    def __init__(self, local: LocalReplica, seconds: float, metrics: Metrics) -> None:
        self._local = local
        self._seconds = seconds
        self._metrics = metrics
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)
        self.reached = False
        """Whether the log has been read since the start."""
        self.down = False
        """Whether MLflow did not answer the last time."""

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the poll under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def poll(self) -> None:
        """Poll once; whatever goes wrong is counted and tried again."""
        try:
            self._local.follow()
        except RegistryUnavailable as error:
            self._metrics.polls.labels("unavailable").inc()
            self.down = True
            logger.debug("%s", error)
            return
        except (VersionNotServable, NotFound):
            self._metrics.polls.labels("unservable").inc()
        except Exception:
            # The edge of the thread: whatever it is, the next poll may find it mended.
            self._metrics.polls.labels("error").inc()
            logger.exception("a poll failed")
            return
        else:
            self._metrics.polls.labels("ok").inc()
        self.down = False
        self.reached = True

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.poll()
