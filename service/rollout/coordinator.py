"""The change of the model in use in every replica: grant, prepare, commit, stage, hold, swap.

The log of use in the registry decides: creating its next entry *is* the change, and its newest
entry is what is in use. All replicas swap within one hold, so that no client sees the new model
from one and then the old one from another. docs/guarantee.md says what is promised.
"""

import logging
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from service.common.domain import Registry, Use, Version
from service.common.errors import (
    ChangeUnderWay,
    EpochConflict,
    ReplicaDown,
    ReplicaSilent,
    ServiceError,
    VersionInUse,
    VersionNotServable,
)
from service.common.metrics import Metrics
from service.rollout.replica import LEASE_SECONDS, Confirmation, LocalReplica, Replica, Swapped

logger = logging.getLogger(__name__)

T = TypeVar("T")

_STAGE_TRIES = 4
"""An MLflow connection that was reset is there again in milliseconds."""

_TURN_SECONDS = 10.0
"""How long a change waits for another one to end."""


class Peers(Protocol):
    """The way to the other replicas."""

    def find(self) -> Sequence[Replica]:
        """Give those that there may be; raises ReplicaSilent where that cannot be known."""

    def is_discoverable(self) -> bool:
        """Tell whether every other replica would find this one by now."""

    def close(self) -> None:
        """Let threads and connections go."""


class NoPeers:
    """No other replicas."""

    def find(self) -> Sequence[Replica]:
        """Give none."""
        return ()

    def is_discoverable(self) -> bool:
        """Nobody has to find this one."""
        return True

    def close(self) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a change."""

    use: Use
    previous: Use | None
    replicas: Sequence[Confirmation]
    missing: Sequence[str]
    seconds: float


class Coordinator:
    """All that serve, seen from this one."""

    def __init__(
        self, local: LocalReplica, peers: Peers, registry: Registry, metrics: Metrics
    ) -> None:
        self._local = local
        self._peers = peers
        self._registry = registry
        self._metrics = metrics
        self._one_change = threading.Lock()
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="replicas")

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._peers.close()

    def use(self, version: Version, by: str, expected_epoch: int | None = None) -> Change:
        """Put a version in use in every replica.

        Raises VersionNotServable, RegistryUnavailable, ReplicaSilent, ChangeUnderWay or
        EpochConflict where nothing has changed (or, if RegistryUnavailable says so, the outcome is
        unknown).
        """
        start = time.monotonic()
        try:
            with self._one_change, self._leases() as (leader, everyone):
                self._prepare(everyone, leader, version)
                previous = self._registry.newest_use()
                epoch = 0 if previous is None else previous.epoch
                if expected_epoch is not None and epoch != expected_epoch:
                    raise EpochConflict(expected_epoch, epoch)
                use = self._registry.commit_use(version, by, expected_epoch)
                confirmations, missing = self._switch(everyone, leader, use.epoch)
        except ServiceError as error:
            refused = isinstance(error, VersionNotServable | EpochConflict)
            self._metrics.changes.labels("refused" if refused else "failed").inc()
            raise
        self._metrics.changes.labels("changed").inc()
        return Change(use, previous, confirmations, missing, time.monotonic() - start)

    def is_discoverable(self) -> bool:
        """Tell whether every other replica would find this one by now."""
        return self._peers.is_discoverable()

    def cancel(self, training: str) -> bool:
        """Have the replica that runs a training cancel it; tell whether one does."""
        found = self._each(self._peers.find(), lambda one: one.cancel(training))
        return any(answer is True for _, answer in found)

    def catch_up(self, epoch: int) -> None:
        """Have every replica serve the newest entry of the log, at least `epoch`, in one hold.

        For an entry whose change nobody leads: its leader is gone, or it was made by hand. Raises
        ReplicaSilent or ChangeUnderWay where that cannot be done now.
        """
        with self._one_change, self._leases(0) as (leader, everyone):
            self._switch(everyone, leader, epoch)

    @contextmanager
    def _leases(self, wait: float = _TURN_SECONDS) -> Iterator[tuple[str, list[Replica]]]:
        """Find the replicas and have each follow nobody but this change.

        All changes ask in one order, so that of two that meet, one gets all of them. Raises
        ReplicaSilent where one does not answer: it may still be serving.
        """
        leader = uuid.uuid4().hex
        deadline = time.monotonic() + wait
        everyone = self._everyone()
        granted: list[Replica] = []
        try:
            for replica in everyone:
                try:
                    _take_turn(replica, leader, deadline)
                except ReplicaDown:
                    continue  # it serves nobody
                granted.append(replica)
            yield leader, granted
        finally:
            list(self._each(granted, lambda replica: replica.release(leader)))

    def _everyone(self) -> list[Replica]:
        return sorted([self._local, *self._peers.find()], key=lambda replica: replica.id)

    def _each(
        self, replicas: Sequence[Replica], step: Callable[[Replica], T]
    ) -> Iterator[tuple[Replica, T | ServiceError]]:
        """Take a step with each at the same time; give what each answered."""

        def taken(replica: Replica) -> T | ServiceError:
            try:
                return step(replica)
            except ServiceError as error:
                return error

        return zip(replicas, self._pool.map(taken, replicas), strict=True)

    def _prepare(self, everyone: Sequence[Replica], leader: str, version: Version) -> None:
        """Have each load the version; raises what the first that cannot says."""
        start = time.monotonic()
        for replica, answer in self._each(everyone, lambda one: one.prepare(leader, version)):
            if isinstance(answer, ReplicaDown):
                logger.info("replica %s is down", replica.id)
            elif isinstance(answer, ServiceError):
                raise answer
        if time.monotonic() - start > LEASE_SECONDS / 2:
            # Those that were ready first have waited for the last one: their grants may be over.
            for replica, answer in self._each(everyone, lambda one: one.grant(leader)):
                if isinstance(answer, ServiceError) and not isinstance(answer, ReplicaDown):
                    logger.warning("replica %s is not granted again: %s", replica.id, answer)
                    raise answer

    def _switch(
        self, everyone: Sequence[Replica], leader: str, epoch: int
    ) -> tuple[list[Confirmation], list[str]]:
        """Have all serve `epoch` or a later one; give who confirms it, and who does not."""
        staged, unresponsive = self._staged(everyone, leader, epoch)
        to_hold = len(everyone) > 1
        if to_hold:
            for replica, held in self._each(staged, lambda one: one.hold()):
                if isinstance(held, ServiceError):
                    unresponsive[replica.id] = held
        confirmed: dict[str, Confirmation] = {}
        for replica, swapped in self._each(staged, lambda one: one.swap()):
            if isinstance(swapped, Swapped) and swapped.confirmation.epoch >= epoch:
                confirmed[replica.id] = swapped.confirmation
                if swapped.held or not to_hold:
                    continue
            # A hold that has ended by itself, too: it may have answered from the older model since.
            unresponsive[replica.id] = _unresponsive(replica, swapped)
        # Last, those that were down or not there: whoever starts from now on asks one that has
        # changed already, or the log. One that was there and could not keep step is brought along
        # too, but stays missing: it may have answered from the older model after the others' swap.
        self._stragglers(leader, epoch, confirmed, unresponsive)
        for identifier, error in unresponsive.items():
            logger.warning("%s does not follow epoch %d: %s", identifier, epoch, error)
        kept = [
            one for identifier, one in sorted(confirmed.items()) if identifier not in unresponsive
        ]
        return kept, sorted(unresponsive)

    def _staged(
        self, everyone: Sequence[Replica], leader: str, epoch: int
    ) -> tuple[list[Replica], dict[str, ServiceError]]:
        """Have each make `epoch` ready, and those that fail try again: nobody swaps meanwhile."""
        staged: list[Replica] = []
        unresponsive: dict[str, ServiceError] = {}
        left = list(everyone)
        for _ in range(_STAGE_TRIES):
            unresponsive = {}
            again: list[Replica] = []
            for replica, answer in self._each(left, lambda one: one.stage(leader)):
                if isinstance(answer, ReplicaDown):
                    continue
                if isinstance(answer, int) and answer >= epoch:
                    staged.append(replica)
                    continue
                unresponsive[replica.id] = _unresponsive(replica, answer)
                if not isinstance(answer, ReplicaSilent):
                    again.append(replica)  # it answers, and cannot read the log just now
            if not again:
                break
            left = again
        return staged, unresponsive

    def _stragglers(
        self,
        leader: str,
        epoch: int,
        confirmed: dict[str, Confirmation],
        unresponsive: dict[str, ServiceError],
    ) -> None:
        def catch_up(replica: Replica) -> Confirmation:
            replica.stage(leader)
            return replica.swap().confirmation

        try:
            found = [one for one in self._everyone() if one.id not in confirmed]
        except ServiceError as error:
            unresponsive["unknown"] = error
            return
        for replica, answer in self._each(found, catch_up):
            if isinstance(answer, ReplicaDown):
                continue
            if isinstance(answer, Confirmation) and answer.epoch >= epoch:
                confirmed[replica.id] = answer
            else:
                unresponsive.setdefault(replica.id, _unresponsive(replica, answer))

    def delete(self, name: str, version: int) -> None:
        """Delete a version; raises VersionInUse. No change comes in between."""
        with self._one_change, self._leases():
            newest = self._registry.newest_use()
            if newest is not None and (newest.name, newest.version) == (name, version):
                raise VersionInUse(name, version)
            self._registry.delete_version(name, version)

    def status(self) -> tuple[Use | None, list[Confirmation], list[str]]:
        """Give what is in use, who confirms it, and who does not answer."""
        confirmations: list[Confirmation] = []
        missing: list[str] = []
        try:
            everyone = self._everyone()
        except ServiceError:
            everyone, missing = [self._local], ["unknown"]
        for replica, answer in self._each(everyone, lambda one: one.confirm()):
            if isinstance(answer, Confirmation):
                confirmations.append(answer)
            elif not isinstance(answer, ReplicaDown):
                missing.append(replica.id)
        return self._local.newest, confirmations, missing


def _take_turn(replica: Replica, leader: str, deadline: float) -> None:
    """Have it granted as soon as no other change is under way; raises what else it says."""
    while True:
        try:
            return replica.grant(leader)
        except ChangeUnderWay:
            if time.monotonic() > deadline:
                raise
            time.sleep(secrets.SystemRandom().uniform(0.01, 0.05))


def _unresponsive(replica: Replica, answer: object) -> ServiceError:
    """Give what keeps a replica from following: what it said, or that it lags behind."""
    return answer if isinstance(answer, ServiceError) else ReplicaSilent(replica.id)
