"""What an entry of the log of use names, loaded: each version as seldom as possible."""

from dataclasses import dataclass

from service.common.domain import Use, Version
from service.rollout.last_served import Served
from service.rollout.registration import Registration
from service.serving.current_model import CurrentModel, LoadedVersion
from service.serving.loader import Loader
from service.serving.predictor import Predictor

Prepared = tuple[Version, Predictor]
"""A version that a change has loaded ahead of its entry."""


@dataclass(frozen=True, slots=True)
class Staged:
    """An entry that is ready to be served."""

    served: Served
    predictor: Predictor
    second: Predictor | None
    """What answers as the second version does, where the entry has one."""

    def loaded(self) -> LoadedVersion:
        """Return it as the current model holds it."""
        use, version, second_version = self.served
        second = None
        if self.second is not None and second_version is not None:
            second = LoadedVersion(self.second, use.epoch, second_version.digest)
        return LoadedVersion(self.predictor, use.epoch, version.digest, use.traffic, second)


class EntryLoader:
    """Loads the versions of entries, and keeps the files of those that are served."""

    def __init__(
        self, registration: Registration, loader: Loader, current_model: CurrentModel
    ) -> None:
        self._registration = registration
        self._loader = loader
        self._current_model = current_model

    def pin(self, *more: Version) -> None:
        """Keep the files of the versions that are served, and of these, in the cache."""
        last = self._registration.last
        served = () if last is None else (last.version, last.second)
        self._loader.pin(*more, *(version for version in served if version is not None))

    def _second_of_now(self, version: Version) -> Predictor | None:
        """Return what answers as a version does, if that is the second one now."""
        in_use = self._current_model.in_use
        second = None if in_use is None else in_use.second
        return second.predictor if second is not None and _is_again(second, version) else None

    def prepare(self, version: Version) -> Predictor:
        """Load a version ahead of its entry; the second one of now is loaded already."""
        self.pin(version)
        return self._second_of_now(version) or self._loader.load(version)

    def load(self, use: Use, prepared: Prepared | None) -> Staged:
        """Make an entry ready; raises VersionNotServable, NotFound or RegistryUnavailable."""
        version, second = self._find(use, None if prepared is None else prepared[0])
        self.pin(version, *(() if second is None else (second,)))
        return Staged(
            Served(use, version, second),
            self._ready(version, prepared),
            None if second is None else self._ready(second, prepared),
        )

    def load_served(self, served: Served) -> Staged:
        """Make ready what was served before a restart, from the cache."""
        second = None if served.second is None else self._loader.load(served.second)
        return Staged(served, self._loader.load(served.version), second)

    def _find(self, use: Use, prepared: Version | None) -> tuple[Version, Version | None]:
        """Return the version of an entry, and its second one."""

        def is_prepared(entry: Use | None) -> bool:  # then MLflow has nothing to add
            return (
                prepared is not None
                and entry is not None
                and bool(entry.created_at)
                and entry.is_of(prepared)
            )

        version = prepared if is_prepared(use) else self._registration.find(use)
        second = prepared if is_prepared(use.second) else self._registration.find_second(use)
        assert version is not None
        return version, second

    def _ready(self, version: Version, prepared: Prepared | None) -> Predictor:
        """Return what answers as a version does: prepared, served already, or loaded now."""
        if prepared is not None and prepared[0] == version:
            return prepared[1]
        in_use = self._current_model.in_use
        if in_use is not None and _is_again(in_use, version):
            return in_use.predictor
        return self._second_of_now(version) or self._loader.load(version)


def _is_again(before: LoadedVersion, version: Version) -> bool:
    """Return whether the version is the one that is served."""
    served = (before.name, before.version, before.sha256)
    return bool(version.digest) and served == (version.name, version.version, version.digest)
