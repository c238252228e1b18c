"""The model in use: one reference, which a request reads once and a change replaces."""

from dataclasses import dataclass, replace

from service.common.errors import NoModelInUse
from service.common.traffic import Traffic
from service.serving.predictor import Predictor


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that is loaded and warm, with the epoch in which it was put in use."""

    predictor: Predictor
    epoch: int
    sha256: str
    traffic: Traffic | None = None
    """How the second version is used; None where there is none."""
    second: "LoadedVersion | None" = None
    """The version beside it, under the same epoch."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.predictor.name

    @property
    def version(self) -> int:
        """The version of the model."""
        return self.predictor.version


class CurrentModel:
    """The version that `/predict` answers from."""

    def __init__(self) -> None:
        self.in_use: LoadedVersion | None = None
        self.load_error: str | None = None
        """Why the newest entry of the log of use cannot be served; None where it can."""
        self.was_never_set = False
        """Whether the log of use has been read, and was empty. Until then no model may be in use
        here although one is in other replicas."""

    @property
    def epoch(self) -> int:
        """The epoch that this replica serves; 0 before the first."""
        return 0 if self.in_use is None else self.in_use.epoch

    def get(self) -> LoadedVersion:
        """Return the model in use; raises NoModelInUse."""
        if self.in_use is None:
            raise NoModelInUse(self.load_error)
        return self.in_use

    def rename(self, predictor: Predictor, epoch: int) -> None:
        """Answer from the version in use under another name, unless another epoch is served."""
        if self.in_use is not None and epoch == self.epoch:
            self.in_use = replace(self.in_use, predictor=predictor)

    def swap(self, loaded: LoadedVersion) -> bool:
        """Put a version in use, unless one of the same or a higher epoch is."""
        if loaded.epoch <= self.epoch:
            return False
        self.in_use = loaded
        return True
