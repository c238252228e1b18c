"""The aliases of versions, which MLflow's search of versions leaves out."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from service.common.domain import LOG_OF_USE
from service.registry.connection import Connection
from service.registry.name_filter import named

KEEP_SECONDS = 1.0
"""How long the aliases of all models are kept, since reading them takes longer than a page of
versions."""

_ALL = f"name != '{LOG_OF_USE}'"
_MOST = 1000
"""Models that are read with one call."""

AliasesByVersion = Mapping[tuple[str, int], tuple[str, ...]]
"""The aliases of each version that has any, sorted, by the model's name and the version."""


class Aliases:
    """Reads aliases from the models that they belong to; may be called from several threads."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._all: AliasesByVersion = {}
        self._read_at: float | None = None

    def of(self, names: Collection[str]) -> AliasesByVersion:
        """Return at least the aliases of these models; those of several may be a second old.

        Raises RegistryUnavailable.
        """
        if not names:
            return {}
        if len(names) == 1:
            return self._search(named(*names))
        now = self._clock()
        if self._read_at is None or now - self._read_at >= KEEP_SECONDS:
            self._all, self._read_at = self._search(_ALL), now
        return self._all

    def _search(self, wanted: str) -> AliasesByVersion:
        found: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        token = None
        while True:
            with self._connection.calls():
                page = self._connection.client.search_registered_models(
                    wanted, max_results=_MOST, page_token=token
                )
            for model in page:
                for alias, version in model.aliases.items():
                    found[model.name, int(version)].append(alias)
            if not page.token:
                return {key: tuple(sorted(aliases)) for key, aliases in found.items()}
            token = page.token
