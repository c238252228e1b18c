"""What MLflow holds, also while MLflow is down: then as it was last seen."""

import threading
import time
from dataclasses import dataclass
from typing import Any

from service.errors import RegistryUnavailable, VersionNotServable
from service.loader import Loader
from service.model import Page, Version, Versions
from service.schema.example import describe, example

_SNAPSHOT = 1000
_REFRESH_SECONDS = 30.0
_INSPECT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of versions, and how old it is."""

    page: Page[Version]
    stale: bool
    age_seconds: float


class Listing:
    """Lists versions; keeps a snapshot of the newest thousand for when MLflow is down."""

    def __init__(self, versions: Versions, loader: Loader) -> None:
        self._versions = versions
        self._loader = loader
        self._lock = threading.Lock()
        self._snapshot: list[Version] | None = None
        self._taken_at = 0.0

    def page(self, name: str | None, limit: int, page_token: str | None) -> Listed:
        """Give a page; raises RegistryUnavailable where MLflow was never seen."""
        start = time.monotonic()
        try:
            page = self._versions.list_versions(name, limit, page_token)
            self.refresh(page.items if name is None and page_token is None else None, limit)
        except RegistryUnavailable:
            return self._last_seen(name, limit, page_token)
        self._inspect(page, start + _INSPECT_SECONDS)
        return Listed(page, False, time.monotonic() - start)

    def refresh(self, newest: Any = None, limit: int = 0) -> None:
        """Take a new snapshot where the last is old; `newest` may be all that there is."""
        with self._lock:
            if newest is not None and len(newest) < limit:
                self._snapshot, self._taken_at = list(newest), time.monotonic()
            elif self._snapshot is None or time.monotonic() - self._taken_at > _REFRESH_SECONDS:
                self._snapshot = list(self._versions.list_versions(None, _SNAPSHOT, None).items)
                self._taken_at = time.monotonic()

    def _last_seen(self, name: str | None, limit: int, page_token: str | None) -> Listed:
        with self._lock:
            snapshot, taken_at = self._snapshot, self._taken_at
        if snapshot is None or page_token is not None:
            raise RegistryUnavailable("it has not been reached, so there is nothing to list.")
        items = [version for version in snapshot if name in (None, version.name)]
        return Listed(Page(items[:limit]), True, time.monotonic() - taken_at)

    def _inspect(self, page: Page[Version], deadline: float) -> None:
        """Look at foreign versions that nobody has looked at, while there is time."""
        for version in page.items:
            if version.foreign and self.verdict(version)[0] is None:
                if time.monotonic() > deadline:
                    return
                self._loader.inspect(version)

    def verdict(self, version: Version) -> tuple[bool | None, str | None]:
        """Tell whether a version is servable, and why not; None where it was not looked at."""
        if version.refusal is not None:
            return False, version.refusal
        known, reason = self._loader.verdict(version)
        if known:
            return reason is None, reason
        return (None, "it has not been looked at yet") if version.foreign else (True, None)

    def describe(self, version: Version) -> dict[str, Any]:
        """Give the schema and the example of a version; nothing where it has none."""
        try:
            schema = self._loader.schema(version)
        except VersionNotServable:
            return {}
        return {
            "schema": {
                "features": [describe(feature) for feature in schema.features],
                "classes": list(schema.classes),
                "target": schema.target,
            },
            "example": example(schema),
        }
