"""What a replica has counted of a second version, as the others ask for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from service.common.traffic import Compared


@dataclass(frozen=True, slots=True)
class ReplicaTraffic:
    """The counts of one replica."""

    id: str
    compared: Compared | None
    """None where it serves another epoch."""


def read(answer: Mapping[str, Any]) -> ReplicaTraffic:
    """Return the counts in another replica's answer; raises ValueError (msgspec's) for others."""
    return msgspec.convert(answer, ReplicaTraffic)
