"""Follows the log of use in a thread, so that a replica that missed a change catches up."""

import logging
import threading
from collections.abc import Callable

from service.common.errors import (
    ChangeUnderWay,
    NotFound,
    RegistryUnavailable,
    ReplicaSilent,
    ServiceError,
    StorageUnavailable,
    VersionNotServable,
)
from service.common.malloc import trim
from service.common.metrics import Metrics
from service.rollout.coordinator import Coordinator
from service.rollout.local_replica import LocalReplica

logger = logging.getLogger(__name__)

_MAX_FAILED_POLLS = 3
"""Failures in a row to have all replicas serve an entry, before this one serves it alone."""


class Poller:
    """Makes this replica serve the newest entry, at the same time as the others if possible."""

    slow_seconds = 1.0
    """How long MLflow may take after a start before the peers are asked too."""

    def __init__(
        self,
        local: LocalReplica,
        coordinator: Coordinator,
        seconds: float,
        metrics: Metrics,
        trim: Callable[[], None] = trim,
        lead: Callable[[], None] = lambda: None,
    ) -> None:
        """`lead`: makes what changes are due, for an alias that is followed, or by rules."""
        self._local = local
        self._coordinator = coordinator
        self._seconds = seconds
        self._metrics = metrics
        self._failed = 0
        self._recovering = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)
        self.reached = False
        """Whether the newest entry has been served since the start."""
        self._trim = trim
        self._lead = lead
        self._trimmed = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait for the poll under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def poll(self) -> bool:
        """Poll once; a failure is counted, and the next poll tries again.

        Return whether MLflow has answered, and the other replicas find this one.
        """
        # Read before the log: if it is discoverable now, any later change includes it.
        is_discoverable = self._coordinator.is_discoverable()
        recovery = threading.Timer(self.slow_seconds, self.recover_if_unread)
        recovery.daemon = True
        if is_discoverable and not self.reached:
            recovery.start()
        try:
            self._follow()
            self._local.check_registration()
        except RegistryUnavailable as error:
            self._metrics.polls.labels("unavailable").inc()
            logger.debug("%s", error)
            if is_discoverable:
                self.recover()
            return False
        except (VersionNotServable, NotFound):
            self._metrics.polls.labels("unservable").inc()
        except StorageUnavailable as error:
            self._metrics.polls.labels("error").inc()
            logger.warning("the version in use cannot be fetched: %s", error)
            return False
        except Exception:
            # A defect must not end the thread: the next poll may succeed.
            self._metrics.polls.labels("error").inc()
            logger.exception("a poll failed")
            return False
        else:
            self._metrics.polls.labels("ok").inc()
        finally:
            recovery.cancel()
        self.reached = self.reached or is_discoverable
        return self.reached

    def _follow(self) -> None:
        epoch = self._local.stage("")
        if epoch <= self._local.confirm().epoch:
            self._failed = 0
            return
        if self._local.leader is not None:
            return  # its leader makes all replicas serve it
        try:
            self._coordinator.catch_up(epoch)
            self._failed = 0
        except (ReplicaSilent, ChangeUnderWay) as error:
            self._failed += 1
            if self._failed >= _MAX_FAILED_POLLS or self._local.confirm().epoch == 0:
                logger.warning("epoch %d is served here alone: %s", epoch, error)
                self._local.swap()

    def poll_and_lead(self) -> None:
        """Poll once, and make the changes of the model in use that are due.

        Two steps, since a replica that starts waits for the first alone: a change may take long.
        """
        if not self.poll():
            return
        try:
            self._lead()
        except RegistryUnavailable as error:
            logger.debug("%s", error)
        except Exception:
            # A defect must not end the thread: the next poll may succeed.
            self._metrics.polls.labels("error").inc()
            logger.exception("a change that is due met a defect")

    def recover_if_unread(self) -> None:
        """Recover, unless the newest entry has been read from MLflow and is being loaded."""
        if self._local.newest is None:
            self.recover()

    def recover(self) -> None:
        """Serve the version of before a restart, if a peer confirms that it is still in use."""
        with self._recovering:
            if self.reached:
                return
            _, confirmations, _ = self._coordinator.status()
            epoch = max(one.epoch for one in confirmations)
            try:
                if epoch and self._local.recover(epoch):
                    logger.warning(
                        "MLflow does not answer: epoch %d is served from the cache", epoch
                    )
                    self.reached = True
            except ServiceError as error:
                logger.warning("epoch %d is not served from the cache: %s", epoch, error)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.poll_and_lead()
            self._stopping.wait(self._seconds)
            self.tidy()

    def tidy(self) -> None:
        """Return memory to the system after a change.

        Not during the change: predictions wait for it, and some still use the previous model.
        """
        epoch = self._local.confirm().epoch
        if epoch != self._trimmed:
            self._trim()
            self._trimmed = epoch
