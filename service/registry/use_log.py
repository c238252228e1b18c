"""The log of use, as the versions of one registered model of MLflow's."""

import uuid
from typing import Any

from service.common.domain import LOG_OF_USE, Use, Version
from service.common.errors import EpochConflict, ModelNotFound, RegistryUnavailable
from service.registry.connection import Connection
from service.registry.errors import may_have_arrived, unless_it_exists

_NEWEST = ["version_number DESC"]
_EXPECTED = "expected_epoch"
_MOST_ENTRIES = 200
"""Entries that are looked at to find the newest that counts."""


class MlflowUses:
    """The port `Uses` over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client

    def newest_use(self) -> Use | None:
        """Give the newest entry that counts, or None before the first.

        An entry that was to follow a certain epoch counts only if it does: MLflow has no
        compare-and-set, but it numbers entries one by one, so that every reader decides alike.
        """
        found = self._entries(1)
        if found and _EXPECTED in found[0].tags:
            found = self._counting(self._entries(_MOST_ENTRIES))
        return _use(found[0]) if found else None

    def _entries(self, limit: int) -> list[Any]:
        with self._connection.calls(vital=True):
            return list(
                self._client.search_model_versions(
                    f"name = '{LOG_OF_USE}'", max_results=limit, order_by=_NEWEST
                )
            )

    @staticmethod
    def _counting(entries: list[Any]) -> list[Any]:
        """Give the entries that count, the newest first, of entries in that order."""
        counting: list[Any] = []
        for entry in reversed(entries):
            expected = entry.tags.get(_EXPECTED)
            newest = int(counting[-1].version) if counting else 0
            # The oldest one seen is taken as it is, unless it is the first of all.
            known = bool(counting) or len(entries) < _MOST_ENTRIES
            if expected is None or not known or expected == str(newest):
                counting.append(entry)
        return counting[::-1]

    def commit_use(self, version: Version, by: str, expected_epoch: int | None = None) -> Use:
        """Append an entry: this is the change. Its epoch is higher than all before it.

        Raises EpochConflict where another entry came before, or RegistryUnavailable whose outcome
        says whether the change may have happened.
        """
        use = self._append(version, by, expected_epoch)
        if expected_epoch is None:
            return use
        try:
            counting = self._counting(self._entries(_MOST_ENTRIES))
        except RegistryUnavailable as error:
            raise RegistryUnavailable(
                "whether another change came first could not be read.", "unknown"
            ) from error
        if use.epoch not in [int(entry.version) for entry in counting]:
            raise EpochConflict(expected_epoch, int(counting[0].version) if counting else 0)
        return use

    def _append(self, version: Version, by: str, expected_epoch: int | None) -> Use:
        self._connection.select()
        nonce = uuid.uuid4().hex
        tags = {
            "model": version.name,
            "version": str(version.version),
            "sha256": version.digest,
            "by": by,
            "nonce": nonce,
        }
        if expected_epoch is not None:
            tags[_EXPECTED] = str(expected_epoch)
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
        """MLflow's answer to the commit was lost: look whether the entry is there."""
        try:
            with self._connection.calls(vital=True):
                found = self._client.search_model_versions(
                    f"name = '{LOG_OF_USE}' and tags.nonce = '{nonce}'", max_results=1
                )
        except RegistryUnavailable as again:
            raise RegistryUnavailable(
                "its answer to the change was lost and could not be read back.", "unknown"
            ) from again
        if not found and may_have_arrived(error):
            raise RegistryUnavailable(
                "it did not answer to the change in time, and may make it yet.", "unknown"
            ) from error
        if not found:
            raise error
        return _use(found[0])


def _use(item: Any, tags: dict[str, str] | None = None) -> Use:
    tags = dict(item.tags) if tags is None else tags
    # An entry made by hand in MLflow's page has a source and may have no tags.
    _, _, source = str(item.source or "").partition("models:/")
    name, _, number = source.rpartition("/")
    version = tags.get("version", number)
    return Use(
        epoch=int(item.version),
        name=tags.get("model", name),
        version=int(version) if version.isdigit() else 0,
        sha256=tags.get("sha256", ""),
        by=tags.get("by", ""),
        at=item.creation_timestamp / 1000,
    )
