"""What a replica reports of itself for a page that shows all of them: counts since its start."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests for predictions in every protocol, of all versions, by outcome."""

    ok: int
    invalid: int
    refused: int
    error: int


@dataclass(frozen=True, slots=True)
class Latency:
    """The durations of the requests that were answered with predictions."""

    bounds: tuple[float, ...]
    """The largest duration that each count includes, in seconds."""
    counts: tuple[int, ...]
    """One more than `bounds`: the last is of those beyond."""


@dataclass(frozen=True, slots=True)
class Trainings:
    """The trainings of a replica now."""

    running: int
    queued: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The live figures of one replica."""

    id: str
    started_at: float
    """Seconds since 1970. Counts begin then, and never fall."""
    ready: bool
    model: str | None
    version: int | None
    epoch: int | None
    memory_bytes: int
    """The resident memory of the process that serves, without its workers."""
    in_flight: int
    """Predictions in threads; those on the event loop are over before anybody can look."""
    trainings: Trainings
    requests: Requests
    rows: int
    """Rows answered with a prediction."""
    latency: Latency
    url: str = ""
    """Its address as the replica that asked it knows it; empty: the one that asked itself."""


def read(answer: Mapping[str, Any], url: str) -> Figures:
    """Return the figures in another replica's answer; raises ValueError (msgspec's) for others."""
    figures = msgspec.convert(answer, Figures)
    if len(figures.latency.counts) != len(figures.latency.bounds) + 1:
        raise ValueError("there is one more count than bounds")
    return replace(figures, url=url)
