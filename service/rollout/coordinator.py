"""Changes the model in use in every replica: grant, prepare, commit, stage, hold, swap.

The log of use in the registry decides: creating its next entry *is* the change, and its newest
entry is what is in use. All replicas swap within one hold, so no client sees the new model from one
replica and then the old model from another. docs/guarantee.md states what is promised.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from service.common.domain import Use, Version
from service.common.errors import (
    EpochConflict,
    NoModelInUse,
    ReplicaDown,
    ReplicaSilent,
    ServiceError,
    VersionInUse,
    VersionNotServable,
)
from service.common.metrics import Metrics
from service.common.ports import Registry
from service.common.traffic import Traffic
from service.rollout.change import Change
from service.rollout.leases import Leases
from service.rollout.local_replica import LEASE_SECONDS, LocalReplica
from service.rollout.peers import Peers
from service.rollout.replica import Confirmation, Replica, Swapped

T = TypeVar("T")
logger = logging.getLogger(__name__)

WAIT_SECONDS = 10.0
"""How long a change waits for another one to end, here or in another replica."""

_STAGE_TRIES = 4
"""A connection to MLflow that was reset can be opened again within milliseconds."""


class Coordinator:
    """Leads changes through all replicas, this one included."""

    def __init__(
        self,
        local: LocalReplica,
        peers: Peers,
        registry: Registry,
        metrics: Metrics,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._local = local
        self._peers = peers
        self._registry = registry
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="replicas")
        self._leases = Leases(self._replicas, self._each, wait_seconds)

    def close(self) -> None:
        """Release threads and connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._peers.close()

    def use(
        self,
        version: Version,
        by: str,
        expected_epoch: int | None = None,
        follows: str = "",
        wait: float | None = None,
        decision: str = "",
    ) -> Change:
        """Put a version in use in every replica; traffic to a second version ends.

        `follows`: the alias of its model that is followed from then on; empty: none. `wait`: how
        long a change led by another replica may take to end. `decision`: why, where rules of
        traffic decided it. Raises VersionNotServable, RegistryUnavailable, ReplicaSilent,
        ChangeUnderWay or EpochConflict where nothing has changed (RegistryUnavailable may say:
        unknown).
        """

        def commit(_: Use | None) -> Use:
            return self._registry.commit_use(
                version, by, expected_epoch, follows, decision=decision
            )

        return self._change(version, commit, expected_epoch, wait)

    def direct(
        self,
        second: Version | None,
        traffic: Traffic | None,
        by: str,
        expected_epoch: int | None,
        decision: str = "",
        check: Callable[[Use], None] = lambda _: None,
    ) -> Change:
        """Put a second version beside the one in use, or none, in every replica.

        The model in use stays, as does an alias that is followed. `check` is called with the newest
        entry, while no other can come before this one. Raises like `use` and `check`, and
        NoModelInUse.
        """

        def commit(previous: Use | None) -> Use:
            if previous is None:
                raise NoModelInUse(None)
            check(previous)
            # Expected in any case: this entry repeats the model in use, and must undo no change.
            in_use, follows = self._local.version_of(previous), previous.follows
            return self._registry.commit_use(in_use, by, previous.epoch, follows, traffic, decision)

        return self._change(second, commit, expected_epoch)

    def _change(
        self,
        version: Version | None,
        commit: Callable[[Use | None], Use],
        expected_epoch: int | None,
        wait: float | None = None,
    ) -> Change:
        """Make a change: `version` is loaded everywhere, and `commit` appends the entry."""
        start = time.monotonic()
        try:
            with self._leases.take(wait) as (
                leader,
                replicas,
            ):
                if version is not None:
                    self._prepare(replicas, leader, version)
                previous = self._local.present(self._registry.newest_use())
                epoch = 0 if previous is None else previous.epoch
                if expected_epoch is not None and epoch != expected_epoch:
                    raise EpochConflict(expected_epoch, epoch)
                use = commit(previous)
                confirmations, missing = self._switch(replicas, leader, use.epoch)
        except ServiceError as error:
            refused = isinstance(error, VersionNotServable | EpochConflict)
            self._metrics.changes.labels("refused" if refused else "failed").inc()
            raise
        self._metrics.changes.labels("changed").inc()
        change = Change(use, previous, confirmations, missing, time.monotonic() - start)
        if (ended := change.ended_traffic) is not None:
            logger.info("the traffic to %s version %d ended", ended.name, ended.version)
        return change

    def delete(self, name: str, version: int) -> None:
        """Delete a version while no change can begin; raises VersionInUse."""
        with self._leases.take():
            newest = self._local.present(self._registry.newest_use())
            if newest is not None:
                wanted = self._registry.get_version(name, version)
                if newest.is_of(wanted):
                    raise VersionInUse(name, version)
                if newest.second is not None and newest.second.is_of(wanted):
                    raise VersionInUse(name, version, is_second=True)
            self._registry.delete_version(name, version)

    def catch_up(self, epoch: int) -> None:
        """Have every replica serve the newest entry of the log, at least `epoch`, in one hold.

        For an entry whose leader is gone, or that was made by hand. Raises ReplicaSilent or
        ChangeUnderWay where that cannot be done now.
        """
        with self._leases.take(0) as (leader, replicas):
            self._switch(replicas, leader, epoch)

    def exclusively(self) -> AbstractContextManager[object]:
        """Keep all others from changes, and from blocks like this; raises as `catch_up`."""
        return self._leases.take(0)

    def status(self) -> tuple[Use | None, list[Confirmation], list[str]]:
        """Return what is in use, the confirmations, and the replicas that do not answer."""
        confirmations: list[Confirmation] = []
        missing: list[str] = []
        try:
            replicas = self._replicas()
        except ServiceError:
            replicas, missing = [self._local], ["unknown"]
        for replica, answer in self._each(replicas, lambda one: one.confirm()):
            if isinstance(answer, Confirmation):
                confirmations.append(answer)
            elif not isinstance(answer, ReplicaDown):
                missing.append(replica.id)
        return self._local.newest, confirmations, missing

    def is_discoverable(self) -> bool:
        """Return whether every other replica would find this one by now."""
        return self._peers.is_discoverable()

    def cancel(self, training: str, owner: str) -> bool:
        """Have the replica that runs a training cancel it; return whether one does.

        `owner` is the id of the replica that opened it. Raises ReplicaSilent where that one does
        not answer: it may be running it.
        """
        answers = list(self._each(self._peers.find(), lambda one: one.cancel(training)))
        if any(answer is True for _, answer in answers):
            return True
        denials = [replica.id for replica, answer in answers if answer is False]
        if owner not in (self._local.id, *denials):
            raise ReplicaSilent(owner)
        return False

    def _replicas(self) -> list[Replica]:
        return sorted([self._local, *self._peers.find()], key=lambda replica: replica.id)

    def _each(
        self, replicas: Sequence[Replica], step: Callable[[Replica], T]
    ) -> Iterator[tuple[Replica, T | ServiceError]]:
        """Run a step on all replicas in parallel; return each one's answer or error."""

        def answer(replica: Replica) -> T | ServiceError:
            try:
                return step(replica)
            except ServiceError as error:
                return error

        return zip(replicas, self._pool.map(answer, replicas), strict=True)

    def _prepare(self, replicas: Sequence[Replica], leader: str, version: Version) -> None:
        """Have each load the version; raises the error of the first that cannot."""
        start = time.monotonic()
        for _, answer in self._each(replicas, lambda one: one.prepare(leader, version)):
            if isinstance(answer, ServiceError) and not isinstance(answer, ReplicaDown):
                raise answer
        if time.monotonic() - start > LEASE_SECONDS / 2:
            # The leases of those that were ready first may have ended during the wait for the last.
            for replica, renewed in self._each(replicas, lambda one: one.grant(leader)):
                if isinstance(renewed, ServiceError) and not isinstance(renewed, ReplicaDown):
                    logger.warning("replica %s does not renew its lease: %s", replica.id, renewed)
                    raise renewed

    def _switch(
        self, replicas: Sequence[Replica], leader: str, epoch: int
    ) -> tuple[list[Confirmation], list[str]]:
        """Have all serve `epoch` or a later one; return the confirmations and who is missing."""
        staged, unresponsive = self._stage(replicas, leader, epoch)
        to_hold = len(replicas) > 1
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
            # If its hold ended by itself, it may have answered from the older model since.
            unresponsive[replica.id] = _lag(replica, swapped)
        # Last, replicas that were down or unknown: one that starts from now on asks a replica that
        # has changed, or reads the log. One that was there and failed a step is brought along too,
        # but stays missing: it may have answered from the older model after the others' swap.
        self._bring_stragglers(leader, epoch, confirmed, unresponsive)
        for identifier, error in unresponsive.items():
            logger.warning("%s does not follow epoch %d: %s", identifier, epoch, error)
        confirmations = [
            one for identifier, one in sorted(confirmed.items()) if identifier not in unresponsive
        ]
        return confirmations, sorted(unresponsive)

    def _stage(
        self, replicas: Sequence[Replica], leader: str, epoch: int
    ) -> tuple[list[Replica], dict[str, ServiceError]]:
        """Have each make `epoch` ready; those that fail try again before any replica swaps."""
        staged: list[Replica] = []
        unresponsive: dict[str, ServiceError] = {}
        remaining = list(replicas)
        for _ in range(_STAGE_TRIES):
            unresponsive = {}
            retry: list[Replica] = []
            for replica, answer in self._each(remaining, lambda one: one.stage(leader)):
                if isinstance(answer, ReplicaDown):
                    continue
                if isinstance(answer, int) and answer >= epoch:
                    staged.append(replica)
                    continue
                unresponsive[replica.id] = _lag(replica, answer)
                if not isinstance(answer, ReplicaSilent):
                    retry.append(replica)  # it answers, and cannot read the log at the moment
            if not retry:
                break
            remaining = retry
        return staged, unresponsive

    def _bring_stragglers(
        self,
        leader: str,
        epoch: int,
        confirmed: dict[str, Confirmation],
        unresponsive: dict[str, ServiceError],
    ) -> None:
        def follow(replica: Replica) -> Confirmation:
            replica.stage(leader)
            return replica.swap().confirmation

        try:
            stragglers = [one for one in self._replicas() if one.id not in confirmed]
        except ServiceError as error:
            unresponsive["unknown"] = error
            return
        for replica, answer in self._each(stragglers, follow):
            if isinstance(answer, ReplicaDown):
                continue
            if isinstance(answer, Confirmation) and answer.epoch >= epoch:
                confirmed[replica.id] = answer
            else:
                unresponsive.setdefault(replica.id, _lag(replica, answer))


def _lag(replica: Replica, answer: object) -> ServiceError:
    """Return why a replica does not follow: its own error, or that it lags behind."""
    return answer if isinstance(answer, ServiceError) else ReplicaSilent(replica.id)
