"""What a replica has counted of one version, as the others ask for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from service.skew.windows import Window


@dataclass(frozen=True, slots=True)
class ReplicaSkew:
    """The counts of one replica."""

    id: str
    known: bool
    """Whether it keeps counts of the version; otherwise they are where it wrote them last."""
    window: Window


def read(answer: Mapping[str, Any], size: int) -> ReplicaSkew:
    """Return the counts in another replica's answer, by a layout of this size.

    Raises ValueError (msgspec's) for anything else.
    """
    skew = msgspec.convert(answer, ReplicaSkew)
    if skew.window.rows and len(skew.window.counts) != size:
        raise ValueError("its counts are of another layout")
    return skew
