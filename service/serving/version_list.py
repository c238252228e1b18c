"""The list of versions in MLflow; while MLflow is down, the list that was read last."""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from service.common.domain import Page, Version
from service.common.errors import RegistryUnavailable, ServiceError, VersionNotServable
from service.common.ports import Versions
from service.schema.contract import Schema
from service.schema.example import describe_in_full, example
from service.serving.loader import Loader

logger = logging.getLogger(__name__)

_SNAPSHOT = 1000
_REFRESH_SECONDS = 30.0
_RETRY_SECONDS = 1.0
_INSPECT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of versions, and how old it is."""

    page: Page[Version]
    stale: bool
    age_seconds: float


class VersionListing:
    """Lists versions, and keeps the newest thousand to be listed while MLflow is down."""

    def __init__(self, versions: Versions, loader: Loader) -> None:
        self._versions = versions
        self._loader = loader
        self._inspector = ThreadPoolExecutor(1, thread_name_prefix="inspector")
        self._lock = threading.Lock()
        self._inspections: dict[tuple[str, int], Future[None]] = {}
        self._snapshot: Sequence[Version] | None = None
        self._taken_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)

    def start(self) -> None:
        """Start the thread that keeps a snapshot up to date."""
        self._thread.start()

    def close(self) -> None:
        """Release the threads."""
        self._stopping.set()
        self._inspector.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            seconds = _REFRESH_SECONDS
            try:
                self._keep(self._versions.list_versions(None, _SNAPSHOT, None).items)
            except ServiceError:
                seconds = _RETRY_SECONDS
            except Exception:
                # A defect must not end the thread: the next attempt may succeed.
                logger.exception("the snapshot of the versions met a defect")
            self._stopping.wait(seconds)

    def _keep(self, versions: Sequence[Version]) -> None:
        with self._lock:
            self._snapshot, self._taken_at = versions, time.monotonic()

    def page(self, name: str | None, limit: int, page_token: str | None) -> Listed:
        """Return a page from MLflow; raises RegistryUnavailable."""
        start = time.monotonic()
        page = self._versions.list_versions(name, limit, page_token)
        if name is None and page_token is None and page.next_page_token is None:
            self._keep(page.items)
        self._inspect(page.items, start + _INSPECT_SECONDS - time.monotonic())
        return Listed(page, False, time.monotonic() - start)

    def last_seen(self, name: str | None, limit: int, page_token: str | None) -> Listed:
        """Return a page of the snapshot; raises RegistryUnavailable where there is none."""
        with self._lock:
            snapshot, taken_at = self._snapshot, self._taken_at
        if snapshot is None or page_token is not None:
            raise RegistryUnavailable("it has not answered yet, so there is no list to show.")
        items = [version for version in snapshot if name in (None, version.name)]
        return Listed(Page(items[:limit]), True, time.monotonic() - taken_at)

    def _inspect(self, versions: Sequence[Version], seconds: float) -> None:
        """Have foreign versions checked that have not been yet; wait for that up to `seconds`."""
        waiting: list[Future[None]] = []
        with self._lock:
            for version in versions:
                if not version.foreign or self.verdict(version)[0] is not None:
                    continue
                key = (version.name, version.version)
                if key not in self._inspections:
                    self._inspections[key] = self._inspector.submit(self._check, version)
                waiting.append(self._inspections[key])
        wait(waiting, timeout=max(0.0, seconds))

    def _check(self, version: Version) -> None:
        try:
            self._loader.inspect(version)
        except VersionNotServable:
            return
        except ServiceError as error:
            logger.warning("%s %s was not checked: %s", version.name, version.version, error)
        finally:
            with self._lock:
                self._inspections.pop((version.name, version.version), None)

    def verdict(self, version: Version) -> tuple[bool | None, str | None]:
        """Return whether a version is servable, and why not; None where it was not checked yet."""
        if version.refusal is not None:
            return False, version.refusal
        checked, reason = self._loader.verdict(version)
        if checked:
            return reason is None, reason
        return (None, "it has not been checked yet") if version.foreign else (True, None)

    def schema(self, version: Version) -> Schema:
        """Return the schema of a version, which is not loaded for it; raises like `Loader.load`."""
        return self._loader.schema(version)

    def describe(self, version: Version) -> dict[str, Any]:
        """Return the schema and the example of a version; empty if it cannot be served."""
        try:
            schema = self.schema(version)
        except VersionNotServable:
            return {}
        return {
            "schema": {
                "features": [describe_in_full(feature) for feature in schema.features],
                "classes": list(schema.classes),
                "target": schema.target,
            },
            "example": example(schema),
        }
