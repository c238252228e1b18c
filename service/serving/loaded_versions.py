"""Versions that answer besides the one in use. They are loaded on demand, and limited in number.

Which version a request means is looked up in MLflow. While the version answers, this is looked up
again in the background, so that a deleted or a newer version is noticed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import NamedTuple, ParamSpec, TypeVar

from service.common.domain import LOG_OF_USE, Version
from service.common.errors import (
    ModelNotFound,
    NotFound,
    Overloaded,
    RegistryUnavailable,
    ServiceError,
    VersionNotServable,
)
from service.common.metrics import Metrics
from service.common.ports import Versions
from service.serving.current_model import LoadedVersion
from service.serving.loader import Loader
from service.serving.served_model import ServedModel

P = ParamSpec("P")
T = TypeVar("T")

FRESH_SECONDS = 2.0
"""After this time it is looked up again which version is meant."""

_LOOK_SECONDS = 2.5
"""How long MLflow may take to say which version is meant."""
_LOADED_AT_ONCE = 2
_MOST_WAITING = 64
_MOST_TRIED = 20
"""The newest version that can be served is searched among this many newest ones of a model."""


class _Wanted(NamedTuple):
    name: str
    version: int | None
    """None means the newest version that can be served."""


class _Entry(NamedTuple):
    record: Version
    served: ServedModel


class LoadedVersions:
    """Loads versions and keeps those that were asked for last; used on the event loop's thread."""

    def __init__(
        self, versions: Versions, loader: Loader, metrics: Metrics, most: int, most_bytes: int
    ) -> None:
        """Keep at most `most` versions, whose files have at most `most_bytes` together."""
        self._versions = versions
        self._loader = loader
        self._metrics = metrics
        self._most = most
        self._most_bytes = most_bytes
        self._entries: OrderedDict[tuple[str, int], _Entry] = OrderedDict()
        """In the order in which they were last asked for."""
        self._meanings: OrderedDict[_Wanted, tuple[int, float]] = OrderedDict()
        """Which version is meant, and when that was looked up."""
        self._looking: dict[_Wanted, asyncio.Task[ServedModel]] = {}
        self._waiting = 0
        self._pool = ThreadPoolExecutor(_LOADED_AT_ONCE, thread_name_prefix="versions")

    def loaded(self) -> set[tuple[str, int]]:
        """Return the names and numbers of the versions that are loaded."""
        return set(self._entries)

    async def get(self, name: str, version: int | None) -> ServedModel:
        """Return a version, or the newest that can be served if it is None; load it if need be.

        Raises ModelNotFound, VersionNotFound, VersionNotServable, RegistryUnavailable,
        StorageUnavailable, or Overloaded if too many requests wait for versions.
        """
        wanted = _Wanted(name, version)
        number, looked_at = self._meanings.get(wanted, (0, 0.0))
        entry = self._entries.get((name, number))
        if entry is not None:
            self._entries.move_to_end((name, number))
            if monotonic() - looked_at > FRESH_SECONDS:
                self._look(wanted)
            return entry.served
        if self._waiting >= _MOST_WAITING:
            raise Overloaded("requests wait for versions to be loaded")
        self._waiting += 1
        try:
            # A client that leaves must not end what others wait for.
            return await asyncio.shield(self._look(wanted))
        finally:
            self._waiting -= 1

    def drop(self, name: str, version: int) -> bool:
        """Release a version; return whether it was loaded. Requests under way go on."""
        entry = self._entries.pop((name, version), None)
        if entry is not None:
            entry.served.close()
        return entry is not None

    def close(self) -> None:
        """Release all versions and the threads."""
        for key in list(self._entries):
            self.drop(*key)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _look(self, wanted: _Wanted) -> "asyncio.Task[ServedModel]":
        """Look up and load the version that is meant, once for all that ask at the same time."""
        task = self._looking.get(wanted)
        if task is None:
            task = self._looking[wanted] = asyncio.create_task(self._find(wanted))
            task.add_done_callback(lambda done: self._looked(wanted, done))
        return task

    def _looked(self, wanted: _Wanted, task: "asyncio.Task[ServedModel]") -> None:
        del self._looking[wanted]
        error = None if task.cancelled() else task.exception()
        known = self._meanings.get(wanted)
        if known is None or error is None:
            return
        if isinstance(error, NotFound | VersionNotServable):
            del self._meanings[wanted]
            self.drop(wanted.name, known[0])
        else:  # MLflow is away: what is loaded goes on answering
            self._meanings[wanted] = known[0], monotonic()

    async def _find(self, wanted: _Wanted) -> ServedModel:
        refusal: ServiceError | None = None
        for record in await self._ask(self._records, wanted):
            try:
                served = await self._served(record)
            except VersionNotServable as error:
                refusal = refusal or error
                continue
            self._meanings[wanted] = record.version, monotonic()
            self._meanings.move_to_end(wanted)
            while len(self._meanings) > 4 * self._most:
                self._meanings.popitem(last=False)
            return served
        raise refusal or ModelNotFound(wanted.name)

    def _records(self, wanted: _Wanted) -> Sequence[Version]:
        if wanted.name == LOG_OF_USE:
            raise ModelNotFound(wanted.name)
        if wanted.version is not None:
            return [self._versions.get_version(wanted.name, wanted.version)]
        return self._versions.list_versions(wanted.name, _MOST_TRIED, None).items

    async def _served(self, record: Version) -> ServedModel:
        key = record.name, record.version
        entry = self._entries.get(key)
        if entry is not None:
            if entry.record.created_at == record.created_at:
                return entry.served
            self.drop(*key)  # it was deleted, and its number given to another version
        predictor = await self._run(self._loader.load, record)
        served = ServedModel(LoadedVersion(predictor, 0, record.digest), self._metrics)
        self.drop(*key)  # it may have been loaded meanwhile for another request
        self._entries[key] = _Entry(record, served)
        while len(self._entries) > 1 and (
            len(self._entries) > self._most or self._bytes() > self._most_bytes
        ):
            self.drop(*next(iter(self._entries)))
        return served

    def _bytes(self) -> int:
        return sum(entry.served.predictor.stored_bytes for entry in self._entries.values())

    async def _ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await self._run(function, *args, **kwargs)
        except TimeoutError as error:
            raise RegistryUnavailable(f"it did not answer within {_LOOK_SECONDS:g} s.") from error

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))
