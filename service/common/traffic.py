"""Traffic: a second version beside the one in use, and the rules by which it is judged."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import orjson

Mode = Literal["shadow", "split"]
Quality = Literal["not worse", "better"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What the second version must show, and what follows; None: nothing is asked of it."""

    rows: int
    """Rows that both versions answered, from which on the rules are looked at. What is asked of
    errors is looked at from as many rows on that the second version was asked."""
    agreement: float | None = None
    """The least share of these that both answered alike."""
    errors: float | None = None
    """The largest share, of the rows that the second version was asked, that it did not answer."""
    latency_ratio: float | None = None
    """The most times that it may take as long as the version in use, for one row."""
    quality: Quality | None = None
    """What outcomes must have shown, by a test that holds however often one looks."""
    promote: bool = False
    """Whether it is put in use where all of that holds; otherwise that is left to people."""
    end: bool = False
    """Whether it goes where one does not hold; otherwise that is left to people."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """A second version beside the one in use, as an entry of the log of use says it."""

    name: str
    version: int
    sha256: str
    run_id: str
    created_at: float
    """When the version was registered, in seconds since 1970."""
    mode: Mode
    percent: int
    """Of the rows (shadow) or requests (split), 1 to 100."""
    key: str = ""
    """The header by whose value a request always goes the same way, in lower case; empty: none."""
    rules: Rules | None = None

    def encode(self) -> str:
        """Return the text that `decode_traffic` reads."""
        return orjson.dumps(self).decode()


def decode_traffic(text: str) -> Traffic:
    """Read what `encode` wrote; raises ValueError (msgspec's) for anything else."""
    return msgspec.json.decode(text.encode(), type=Traffic)


@dataclass(frozen=True, slots=True)
class Compared:
    """What was counted of both versions under one entry of the log of use; it adds up."""

    in_use_rows: int = 0
    """Rows that the version in use answered clients."""
    second_rows: int = 0
    """Rows that the second version answered clients."""
    rows: int = 0
    """Rows that both answered, one of them off the path of requests."""
    agreed: int = 0
    """Rows of the same class by both."""
    disagreed: Mapping[str, int] = field(default_factory=dict)
    """Rows by the two classes, as `disagreement` writes them."""
    errors: int = 0
    """Rows that the second version could not answer, beside `rows`; of a split, requests of clients
    that it could not answer are counted as a row each."""
    in_use_errors: int = 0
    """Rows, of a split, that the second version answered and the one in use could not."""
    shed: int = 0
    """Rows that were not compared: for lack of time, or because they hold a text that is unknown to
    the version that answered, and that the other one may know."""
    timed: int = 0
    """Single rows with which both were timed, in turn."""
    in_use_seconds: float = 0.0
    second_seconds: float = 0.0
    outcomes: int = 0
    """Rows whose truth was told, of either version; both answered each."""
    only_in_use_right: int = 0
    only_second_right: int = 0

    @property
    def agreement(self) -> float | None:
        """The share of rows that both answered alike; None before the first."""
        return self.agreed / self.rows if self.rows else None

    @property
    def latency_ratio(self) -> float | None:
        """How many times as long the second version takes for a row; None where none was timed."""
        if not self.timed or self.in_use_seconds <= 0:
            return None
        return self.second_seconds / self.in_use_seconds

    def plus(self, other: "Compared") -> "Compared":
        """Return the sum."""
        disagreed = Counter(self.disagreed)
        disagreed.update(other.disagreed)
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in self.__slots__
            if name != "disagreed"
        }
        return Compared(**sums, disagreed=disagreed)


def disagreement(in_use: int, second: int) -> str:
    """Write a pair of classes, by their indexes in the version in use."""
    return f"{in_use} {second}"
