"""This process as one of the replicas: what it serves, what it has prepared, who may change it.

It reads the log of use itself instead of trusting its leader, and takes only a higher epoch than
the one it serves.
"""

import logging
import threading
import time
from collections.abc import Callable

from service.common.domain import Use, Version
from service.common.errors import ChangeUnderWay, NotFound, VersionNotServable
from service.common.metrics import Metrics
from service.common.ports import Registry
from service.rollout.entry_loader import EntryLoader, Prepared, Staged
from service.rollout.hold import Hold
from service.rollout.last_served import LastServed
from service.rollout.registration import Registration
from service.rollout.replica import Confirmation, Swapped
from service.serving.current_model import CurrentModel
from service.serving.loader import Loader

logger = logging.getLogger(__name__)

LEASE_SECONDS = 3.0
"""How long after a step of a change another change may begin, if its leader sends no more."""

_RETRY_SECONDS = 30.0
"""How long an entry that cannot be served is not loaded again."""


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
        self._current_model = current_model
        self._metrics = metrics
        self._registration = Registration(registry, last_served, metrics, clock)
        self._entries = EntryLoader(self._registration, loader, current_model)
        self._clock = clock
        self._lock = threading.Lock()
        self._lease_lock = threading.Lock()
        self._leader: str | None = None
        self._leased_until = 0.0
        self._preparing = 0
        self._prepared: Prepared | None = None
        self._staged: Staged | None = None
        self._newest: Use | None = None
        self._retry_at = 0.0
        self._hold = Hold() if hold is None else hold
        self._entries.pin()  # a restart without MLflow needs the files of what was served before it

    @property
    def newest(self) -> Use | None:
        """The newest entry of the log that was read, with the present name of its model."""
        return self.present(self._newest)

    def present(self, use: Use | None) -> Use | None:
        """Return an entry with the present name of its model, as far as that is known here."""
        return self._registration.present(use)

    def is_in_use(self, name: str, version: int) -> bool:
        """Return whether the newest entry that was read is about this version."""
        newest = self.newest
        return newest is not None and (newest.name, newest.version) == (name, version)

    def version_of(self, use: Use) -> Version:
        """Return the version of an entry, also one that is served and was deleted in MLflow.

        Raises NotFound, VersionNotServable or RegistryUnavailable.
        """
        return self._registration.find(use)

    def second_of(self, use: Use) -> Version | None:
        """Return the second version of an entry; None where it has none. Raises as `version_of`."""
        return self._registration.find_second(use)

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
                if self._prepared is None or self._prepared[0] != version:
                    predictor = self._entries.prepare(version)
                    with self._lease_lock:
                        # The leader may have given up while it was being loaded.
                        if self._leader == leader:
                            self._prepared = (version, predictor)
        finally:
            self._renew(leader, -1)

    def stage(self, leader: str) -> int:
        """Read the log of use and make its newest entry ready; return the epoch that can be served.

        Raises VersionNotServable, NotFound or RegistryUnavailable.
        """
        self._renew(leader)
        use = self._registry.newest_use()
        if use is None:
            self._current_model.was_never_set = True
        with self._lock:
            if use is not None and (self._newest is None or use.epoch >= self._newest.epoch):
                retry_later = (
                    use == self._newest
                    and self._current_model.load_error
                    and self._clock() < self._retry_at
                )
                self._newest = use
                is_staged = self._staged is not None and self._staged.served.use == use
                if use.epoch > self._current_model.epoch and not retry_later and not is_staged:
                    self._staged = self._load(use)
            with self._lease_lock:
                if not self._is_leased():
                    self._prepared = None  # by a leader that has vanished
            return (
                self._current_model.epoch if self._staged is None else self._staged.served.use.epoch
            )

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
        last = self._registration.last
        if last is None or last.use.epoch != epoch:
            return False
        staged = self._entries.load_served(last)
        with self._lock:
            # A newer one may have been read from MLflow meanwhile.
            if self._newest is None or self._newest.epoch < epoch:
                self._newest = last.use
            self._serve(staged)
        return True

    def _load(self, use: Use) -> Staged:
        try:
            staged = self._entries.load(use, self._prepared)
        except (VersionNotServable, NotFound) as error:
            if self._current_model.load_error != str(error):
                logger.error("epoch %d cannot be served: %s", use.epoch, error)
            self._current_model.load_error = str(error)
            self._retry_at = self._clock() + _RETRY_SECONDS
            raise
        self._prepared = None
        return staged

    def _serve(self, staged: Staged) -> None:
        use, before = staged.served.use, self._current_model.in_use
        self._current_model.load_error = None
        if self._current_model.swap(staged.loaded()):
            if before is not None:
                self._metrics.in_use.remove(before.name, str(before.version))
            version, second = staged.served.version, staged.served.second
            self._metrics.in_use.labels(version.name, str(version.version)).set(1)
            self._metrics.epoch.set(use.epoch)
            self._registration.record(*staged.served)
            self._entries.pin()
            logger.info("epoch %d: %s version %d is in use", use.epoch, *_names(version))
            if use.traffic is not None and second is not None:
                logger.info(
                    "%s version %d is beside it: %s of %d %%",
                    *_names(second),
                    use.traffic.mode,
                    use.traffic.percent,
                )

    def check_registration(self, now: bool = False) -> None:
        """Follow a renaming of the version in use in MLflow, and say once that it was deleted.

        `now`: ask MLflow even if it was asked a moment ago. Raises RegistryUnavailable.
        """
        version = self._registration.renamed(now)
        if version is None:
            return
        with self._lock:
            last, in_use = self._registration.last, self._current_model.in_use
            if (
                last is None
                or in_use is None
                or not last.use.identified(last.version).is_of(version)
            ):
                return  # another version is in use by now
            self._current_model.rename(in_use.predictor.renamed(version.name), in_use.epoch)
            self._metrics.in_use.remove(in_use.name, str(in_use.version))
            self._metrics.in_use.labels(version.name, str(version.version)).set(1)
            self._registration.record(last.use, version, last.second)
            logger.info("%s, which is in use, is called %s now", in_use.name, version.name)


def _names(version: Version) -> tuple[str, int]:
    return version.name, version.version
