"""The log of use: the versions of one registered model in MLflow."""

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from service.common.domain import LOG_OF_USE, Use, Version
from service.common.errors import EpochConflict, ModelNotFound, RegistryUnavailable, ServiceError
from service.common.traffic import Traffic, decode_traffic
from service.registry.connection import RegistryPart
from service.registry.errors import may_have_arrived, unless_it_exists

logger = logging.getLogger(__name__)

_NEWEST = ["version_number DESC"]
_EXPECTED = "expected_epoch"
_FOLLOWS = "follows"
"""Tag of an entry since which an alias of its model is followed."""
_TRAFFIC = "traffic"
"""Tag of an entry with a second version, which older releases do not read: they serve the first."""
_DECISION = "decision"
_COUNTS = "counts"
"""Tag of an entry that was found to follow the epoch it expects; readers need not look further
back than such an entry."""


class MlflowUses(RegistryPart):
    """The port `Uses` over a connection."""

    entries_at_once = 200
    """The number of entries that are read with one call."""

    def newest_use(self) -> Use | None:
        """Return the newest entry that counts, or None before the first.

        MLflow has no compare-and-set, but it numbers entries one by one. An entry with an expected
        epoch counts only if the newest counting entry before it has that epoch. The log is read
        back to an entry that counts whatever precedes it, so every reader reaches the same result.
        """
        newest = self._entries(1)
        if not newest or _counts_anyway(newest[0]):
            return _use(newest[0]) if newest else None
        counting = _counting(self._tail())
        return _use(counting[-1]) if counting else None

    def _entries(self, limit: int, before: int | None = None) -> list[Any]:
        """Return up to `limit` entries, the newest first, of those with a number below `before`."""
        older = "" if before is None else f" and version_number < {before}"
        with self._connection.calls(vital=True):
            return list(
                self._client.search_model_versions(
                    f"name = '{LOG_OF_USE}'{older}", max_results=limit, order_by=_NEWEST
                )
            )

    def _tail(self, epoch: int | None = None) -> list[Any]:
        """Return the end of the log, the oldest entry first.

        It begins with the newest entry (of those before `epoch`) that counts whatever precedes it,
        or with the first entry of the log.
        """
        entries: list[Any] = []
        while True:
            page = self._entries(
                self.entries_at_once, int(entries[-1].version) if entries else None
            )
            for entry in page:
                entries.append(entry)
                if _counts_anyway(entry) and (epoch is None or int(entry.version) < epoch):
                    return entries[::-1]
            if len(page) < self.entries_at_once:
                return entries[::-1]

    def commit_use(
        self,
        version: Version,
        by: str,
        expected_epoch: int | None = None,
        follows: str = "",
        traffic: Traffic | None = None,
        decision: str = "",
    ) -> Use:
        """Append an entry: this is the change. Its epoch is higher than all before it.

        Raises EpochConflict where another entry came before, or RegistryUnavailable whose outcome
        says whether the change may have happened.
        """
        tags = _tags_of(version, by, follows, traffic, decision)
        if expected_epoch is not None:
            tags[_EXPECTED] = str(expected_epoch)
        use = self._append(version, tags)
        if expected_epoch is None:
            return use
        try:
            counting = [int(entry.version) for entry in _counting(self._tail(use.epoch))]
        except RegistryUnavailable as error:
            raise RegistryUnavailable(
                "whether another change came first could not be read.", "unknown"
            ) from error
        if use.epoch not in counting:
            raise EpochConflict(expected_epoch, counting[-1] if counting else 0)
        self._mark_counting(use)
        return use

    def _mark_counting(self, use: Use) -> None:
        """Spare readers the entries before this one; without the mark they read further back."""
        try:
            with self._connection.calls():
                self._client.set_model_version_tag(LOG_OF_USE, str(use.epoch), _COUNTS, "true")
        except ServiceError as error:  # the change is made, whatever becomes of its mark
            logger.debug("epoch %d is not marked as counting: %s", use.epoch, error)

    def _append(self, version: Version, tags: dict[str, str]) -> Use:
        self._connection.select()
        nonce = tags["nonce"] = uuid.uuid4().hex
        try:
            created = self._create(version, tags)
        except RegistryUnavailable as error:
            return self._read_back(nonce, error)
        return _use(created, tags)

    def _create(self, version: Version, tags: dict[str, str]) -> Any:
        try:
            with self._connection.calls(ModelNotFound(LOG_OF_USE)):
                return self._create_entry(version, tags)
        except ModelNotFound:
            with self._connection.calls(), unless_it_exists():
                self._client.create_registered_model(
                    LOG_OF_USE, description="Its newest version says which model is in use."
                )
            with self._connection.calls():
                return self._create_entry(version, tags)

    def _create_entry(self, version: Version, tags: dict[str, str]) -> Any:
        return self._client.create_model_version(
            LOG_OF_USE,
            source=f"models:/{version.name}/{version.version}",
            tags=tags,
            await_creation_for=0,
        )

    def _read_back(self, nonce: str, error: RegistryUnavailable) -> Use:
        """Return the entry of a commit whose reply was lost, if MLflow has made it."""
        try:
            with self._connection.calls(vital=True):
                entries = self._client.search_model_versions(
                    f"name = '{LOG_OF_USE}' and tags.nonce = '{nonce}'", max_results=1
                )
        except RegistryUnavailable as again:
            raise RegistryUnavailable(
                "its answer to the change was lost and could not be read back.", "unknown"
            ) from again
        if not entries and may_have_arrived(error):
            raise RegistryUnavailable(
                "it did not answer to the change in time, and may make it yet.", "unknown"
            ) from error
        if not entries:
            raise error
        return _use(entries[0])


def _counts_anyway(entry: Any) -> bool:
    """Return whether an entry counts whatever precedes it."""
    return _EXPECTED not in entry.tags or entry.tags.get(_COUNTS) == "true"


def _counting(tail: list[Any]) -> list[Any]:
    """Return those entries of a tail that count, in the same order."""
    counting: list[Any] = []
    for entry in tail:
        newest = int(counting[-1].version) if counting else 0
        if _counts_anyway(entry) or entry.tags[_EXPECTED] == str(newest):
            counting.append(entry)
    return counting


def _tags_of(
    version: Version, by: str, follows: str, traffic: Traffic | None, decision: str
) -> dict[str, str]:
    tags = {
        "model": version.name,
        "version": str(version.version),
        "sha256": version.digest,
        "run": version.run_id,
        "created": str(round(version.created_at * 1000)),
        "by": by,
    }
    if follows:
        tags[_FOLLOWS] = follows
    if traffic is not None:
        tags[_TRAFFIC] = traffic.encode()
    if decision:
        tags[_DECISION] = decision
    return tags


def _use(item: Any, tags: dict[str, str] | None = None) -> Use:
    tags = dict(item.tags) if tags is None else tags
    # An entry that was made by hand in MLflow's page has a source, and may have no tags.
    _, _, source = str(item.source or "").partition("models:/")
    name, _, number = source.rpartition("/")
    version = tags.get("version", number)
    created = tags.get("created", "")
    return Use(
        epoch=int(item.version),
        name=tags.get("model", name),
        version=int(version) if version.isdigit() else 0,
        sha256=tags.get("sha256", ""),
        by=tags.get("by", ""),
        at=item.creation_timestamp / 1000,
        run_id=tags.get("run", ""),
        created_at=int(created) / 1000 if created.isdigit() else 0.0,
        follows=tags.get(_FOLLOWS, ""),
        traffic=_traffic(item, tags),
        decision=tags.get(_DECISION, ""),
    )


def _traffic(item: Any, tags: Mapping[str, str]) -> Traffic | None:
    """Return the second version of an entry; None where its tag was made unreadable by hand."""
    try:
        return decode_traffic(tags[_TRAFFIC]) if _TRAFFIC in tags else None
    except ValueError as error:
        logger.warning("the traffic of epoch %s cannot be read: %s", item.version, error)
        return None
