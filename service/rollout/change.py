"""What a change of the model in use, or of what stands beside it, has led to."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.common.domain import Use
from service.common.traffic import Traffic
from service.rollout.replica import Confirmation


@dataclass(frozen=True, slots=True)
class Change:
    """The new entry of the log of use, the one before it, and who serves the new one."""

    use: Use
    previous: Use | None
    replicas: Sequence[Confirmation]
    missing: Sequence[str]
    """The replicas that have not confirmed it."""
    seconds: float

    @property
    def ended_traffic(self) -> Traffic | None:
        """The traffic to a second version that is no more; None where there was none."""
        return None if self.previous is None else self.previous.traffic
