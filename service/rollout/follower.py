"""Follows an alias of the model in use: moving it in MLflow changes every replica.

Every replica asks for the alias, and the first that finds it moved leads an ordinary change, which
expects the epoch of the entry that this replica has read. So one move is one change.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.common.domain import Use, Version
from service.common.errors import (
    ChangeUnderWay,
    EpochConflict,
    NotFound,
    RegistryUnavailable,
    ReplicaSilent,
    ServiceError,
    VersionNotServable,
    quoted,
)
from service.common.metrics import Metrics
from service.common.ports import Registry
from service.rollout.coordinator import Coordinator
from service.rollout.local_replica import LocalReplica

logger = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""How long a version is not tried again that a full disk or a killed worker kept from being used:
each attempt loads it in every replica."""

_Target = tuple[str, int, float]
"""A version as its name, number and time of registration: a number may be given again."""


@dataclass(slots=True)
class _Failure:
    """Why the alias of an entry is not followed."""

    epoch: int
    target: _Target | None
    """The version that the alias names; None where it names none."""
    sentence: str
    final: bool
    """Whether the version cannot be served, so that it is not tried again."""
    retry_at: float = 0.0
    tagged: bool = False

    @property
    def about(self) -> tuple[int, _Target | None, bool]:
        """What is said once."""
        return self.epoch, self.target, self.final


class Follower:
    """Keeps the version in use that the followed alias names; called by one thread."""

    def __init__(
        self,
        local: LocalReplica,
        coordinator: Coordinator,
        registry: Registry,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = local
        self._coordinator = coordinator
        self._registry = registry
        self._metrics = metrics
        self._clock = clock
        self._failure: _Failure | None = None

    def error(self, use: Use) -> str | None:
        """Return why the alias of an entry is not followed now; None where it is."""
        failure = self._failure
        return failure.sentence if failure is not None and failure.epoch == use.epoch else None

    def poll(self) -> None:
        """Look where the alias is, and put that version in use unless it is.

        Asks nothing while no alias is followed. Raises RegistryUnavailable where MLflow does not
        say where the alias is.
        """
        use = self._local.newest
        if use is None or not use.follows:
            self._set(None)
            return
        if self._local.leader is not None:
            return  # a change is under way; the next poll sees what it has led to
        try:
            version = self._find(use)
        except NotFound as error:
            present = self._local.present(use) or use
            sentence = f"{error} Version {present.version} of {quoted(present.name)} stays in use."
            self._set(_Failure(use.epoch, None, sentence, final=False))
            return
        if use.is_of(version):
            self._set(None)
            if version.follow_error:
                self._tag(version, "")
            return
        failure = self._failure if self._fails_at(use, version) else None
        if failure is not None and failure.final:
            self._tag_once(version, failure)
        elif failure is None or self._clock() >= failure.retry_at:
            self._change(use, version)

    def _find(self, use: Use) -> Version:
        """Return the version that the alias names; raises NotFound or RegistryUnavailable."""
        try:
            version = self._registry.version_of_alias(use.name, use.follows)
        except NotFound:
            if self._fails_at(use, None) or not self._is_renamed(use):
                raise
        else:
            known = use.is_of(version) or self._fails_at(use, version)
            if known or not self._is_renamed(use):
                return version
        renamed = self._local.present(use)
        assert renamed is not None
        return self._registry.version_of_alias(renamed.name, use.follows)

    def _fails_at(self, use: Use, version: Version | None) -> bool:
        """Return whether it is known that the alias of an entry fails at this version, or none."""
        failure, target = self._failure, None if version is None else _target(version)
        return failure is not None and (failure.epoch, failure.target) == (use.epoch, target)

    def _is_renamed(self, use: Use) -> bool:
        """Return whether the model has another name now; another one may have got its old name."""
        self._local.check_registration(now=True)
        present = self._local.present(use)
        return present is not None and present.name != use.name

    def _change(self, use: Use, version: Version) -> None:
        """Put a version in use; a failure is kept."""
        try:
            self._coordinator.use(
                version, f"alias {use.follows}", use.epoch, follows=use.follows, wait=0
            )
        except (ChangeUnderWay, EpochConflict) as error:
            # Another replica makes the same change, or a client has made another one.
            logger.debug("alias %s is left to another change: %s", quoted(use.follows), error)
        except ServiceError as error:
            reason = str(error).rstrip(".")
            failure = _Failure(
                use.epoch,
                _target(version),
                f"Alias {quoted(use.follows)} names version {version.version} of "
                f"{quoted(version.name)}, which is not put in use: {reason}.",
                final=isinstance(error, VersionNotServable),
            )
            if not isinstance(error, RegistryUnavailable | ReplicaSilent):
                failure.retry_at = self._clock() + RETRY_SECONDS
            self._set(failure)
            if failure.final:
                self._tag_once(version, failure)
        else:
            self._set(None)

    def _set(self, failure: _Failure | None) -> None:
        """Keep why the alias is not followed; say it once for each version."""
        known, self._failure = self._failure, failure
        self._metrics.follow_failed.set(failure is not None)
        if failure is None:
            return
        if known is None or known.about != failure.about:
            logger.warning("%s", failure.sentence)

    def _tag_once(self, version: Version, failure: _Failure) -> None:
        if not failure.tagged:
            failure.tagged = self._tag(version, failure.sentence)

    def _tag(self, version: Version, sentence: str) -> bool:
        """Say it at the version in MLflow, too; return whether that worked."""
        try:
            self._registry.keep_follow_error(version, sentence)
        except ServiceError as error:
            logger.debug("version %d is not tagged: %s", version.version, error)
            return False
        return True


def _target(version: Version) -> _Target:
    return version.name, version.version, version.created_at
