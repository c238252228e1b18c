"""The version that this replica serves, as MLflow holds it: others may rename or delete it there.

What is served does not depend on it. A version is found again by what it keeps under a new name,
and one that was deleted goes on being served, after a restart from the cache.
"""

import logging
import time
from collections.abc import Callable

from service.common.domain import Use, Version
from service.common.errors import NotFound, ServiceError, VersionNotServable
from service.common.metrics import Metrics
from service.common.ports import Registry
from service.rollout.last_served import LastServed, Served

logger = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
"""How often MLflow is asked for the version in use."""


class Registration:
    """Finds versions of entries of the log, and keeps what was served last."""

    def __init__(
        self,
        registry: Registry,
        last_served: LastServed,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._file = last_served
        self._metrics = metrics
        self._clock = clock
        self._check_at = 0.0
        self._deleted: set[tuple[int, str, int]] = set()
        """Epoch, name and version of what was served when it was found to be deleted."""
        self.last = last_served.read()
        """What is served, or was before a restart; None before the first."""

    def present(self, use: Use | None) -> Use | None:
        """Return an entry with the present name of its model, as far as that is known here."""
        if use is None or self.last is None or self.last.use.epoch != use.epoch:
            return use
        return use.identified(self.last.version)

    def find(self, use: Use) -> Version:
        """Return the version of an entry, also one that was deleted and may be in the cache.

        Raises NotFound, VersionNotServable or RegistryUnavailable.
        """
        try:
            return self._find(self.present(use) or use)
        except (NotFound, VersionNotServable):
            if self.last is None or self.last.use.epoch != use.epoch:
                raise
            self._say_deleted(use, self.last.version)
            return self.last.version

    def find_second(self, use: Use) -> Version | None:
        """Return the second version of an entry; None where it has none.

        Raises NotFound, VersionNotServable or RegistryUnavailable.
        """
        if use.second is None:
            return None
        try:
            return self._find(use.second)
        except (NotFound, VersionNotServable):
            if self.last is None or self.last.use.epoch != use.epoch or self.last.second is None:
                raise
            self._say_deleted(use, self.last.second)
            return self.last.second

    def _find(self, use: Use) -> Version:
        """Return the version of an entry under the name that its model has now."""
        missing: ServiceError
        try:
            version = self._registry.get_version(use.name, use.version)
        except NotFound as error:
            missing = error
        else:
            if use.is_of(version):
                return version
            missing = VersionNotServable(
                use.name, use.version, "it is not the version that was put in use (sha256)."
            )
        again = self._registry.find_again(use)
        if again is None:
            raise missing
        return again

    def record(self, use: Use, version: Version, second: Version | None = None) -> None:
        """Keep what is served from now on."""
        self.last = Served(use, version, second)
        self._file.write(self.last)
        self._deleted = {one for one in self._deleted if one[0] == use.epoch}
        self._metrics.deleted.set(bool(self._deleted))

    def renamed(self, now: bool = False) -> Version | None:
        """Return the version that is in use if it has another name now.

        That it or the second one was deleted is told once. `now`: ask MLflow even if it was asked
        a moment ago. Raises RegistryUnavailable.
        """
        if self.last is None or not (now or self._clock() >= self._check_at):
            return None
        use, known, second = self.last
        self._check_at = self._clock() + CHECK_SECONDS
        if second is not None and not self._is_deleted(use, second):
            self.find_second(use)
        if self._is_deleted(use, known):
            return None
        try:
            version = self._find(use.identified(known))
        except (NotFound, VersionNotServable):
            self._say_deleted(use, known)
            return None
        return None if version.name == known.name else version

    def _is_deleted(self, use: Use, version: Version) -> bool:
        return (use.epoch, version.name, version.version) in self._deleted

    def _say_deleted(self, use: Use, version: Version) -> None:
        if self._is_deleted(use, version):
            return
        self._deleted.add((use.epoch, version.name, version.version))
        self._metrics.deleted.set(1)
        is_second = use.second is not None and use.second.is_of(version)
        logger.warning(
            "%s version %d, which is %s, was deleted in MLflow; it is served from memory, and "
            "after a restart from the cache, until %s",
            version.name,
            version.version,
            "beside the one in use" if is_second else "in use",
            "its traffic ends" if is_second else "another version is put in use",
        )
