"""Follows the log of use in a thread of its own, which makes up for whatever was not told."""

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
from service.rollout.replica import LocalReplica

logger = logging.getLogger(__name__)

_PATIENCE = 3
"""Polls in a row that may fail to bring every replica along before this one goes alone."""


class Poller:
    """Sees to it that this replica serves the newest entry, together with the others if it can."""

    slow_seconds = 1.0
    """How long MLflow may take after a start before the peers are asked instead."""

    def __init__(
        self,
        local: LocalReplica,
        replicas: Coordinator,
        seconds: float,
        metrics: Metrics,
        trim: Callable[[], None] = trim,
    ) -> None:
        self._local = local
        self._replicas = replicas
        self._seconds = seconds
        self._metrics = metrics
        self._failed = 0
        self._recovering = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)
        self.reached = False
        """Whether the newest entry has been served since the start."""
        self.down = False
        """Whether MLflow did not answer the last time."""
        self._trim = trim
        self._trimmed = 0

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
        # Asked before the log is read: whoever changes it later finds this replica.
        is_discoverable = self._replicas.is_discoverable()
        beside = threading.Timer(self.slow_seconds, self.recover_if_untold)
        beside.daemon = True
        if is_discoverable and not self.reached:
            beside.start()
        try:
            self._follow()
        except RegistryUnavailable as error:
            self._metrics.polls.labels("unavailable").inc()
            self.down = True
            logger.debug("%s", error)
            if is_discoverable:
                self.recover()
            return
        except (VersionNotServable, NotFound):
            self._metrics.polls.labels("unservable").inc()
        except StorageUnavailable as error:
            self._metrics.polls.labels("error").inc()
            logger.warning("what is in use cannot be fetched: %s", error)
            return
        except Exception:
            # The edge of the thread: whatever it is, the next poll may find it mended.
            self._metrics.polls.labels("error").inc()
            logger.exception("a poll failed")
            return
        else:
            self._metrics.polls.labels("ok").inc()
        finally:
            beside.cancel()
        self.down = False
        self.reached = self.reached or is_discoverable

    def _follow(self) -> None:
        epoch = self._local.stage("")
        if epoch <= self._local.confirm().epoch:
            self._failed = 0
            return
        if self._local.leader is not None:
            return  # its leader has it served everywhere at once
        try:
            self._replicas.catch_up(epoch)
            self._failed = 0
        except (ReplicaSilent, ChangeUnderWay) as error:
            self._failed += 1
            if self._failed >= _PATIENCE or self._local.confirm().epoch == 0:
                logger.warning("epoch %d is served here alone: %s", epoch, error)
                self._local.swap()

    def recover_if_untold(self) -> None:
        """Recover, unless MLflow has told by now what is in use: then that is being loaded."""
        if self._local.newest is None:
            self.recover()

    def recover(self) -> None:
        """Serve what was served before a restart, if a peer confirms that it still is."""
        with self._recovering:
            if self.reached:
                return
            _, confirmations, _ = self._replicas.status()
            epoch = max(one.epoch for one in confirmations)
            try:
                if epoch and self._local.recover(epoch):
                    logger.warning("MLflow is away: epoch %d is served from the cache", epoch)
                    self.reached = True
            except ServiceError as error:
                logger.warning("epoch %d is not served from the cache: %s", epoch, error)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.poll()
            self._stopping.wait(self._seconds)
            self.tidy()

    def tidy(self) -> None:
        """Give back what the model before, and the loading of this one, have left behind.

        Not with the change itself: predictions wait for that, and some still hold the model before.
        """
        epoch = self._local.confirm().epoch
        if epoch != self._trimmed:
            self._trim()
            self._trimmed = epoch
