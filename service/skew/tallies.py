"""The counts of every version that answers here, kept over changes of the model in use and back."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from time import time
from weakref import WeakValueDictionary

from service.common.domain import Version
from service.schema.contract import Schema
from service.schema.reference import Reference
from service.skew.budget import Budget
from service.skew.tally import Tally

_MOST = 8
"""Versions whose counts are kept after nothing else refers to them."""


class Tallies:
    """Opens the tally of a version; its methods may be called from any thread."""

    def __init__(self, rows_per_second: int, clock: Callable[[], float] = time) -> None:
        """Count this many rows a second, all versions together; 0: none, and there are no tallies.

        `clock` returns seconds since 1970.
        """
        self.is_on = rows_per_second > 0
        self.budget = Budget(max(1, rows_per_second))
        self._clock = clock
        self._lock = threading.Lock()
        self._alive: WeakValueDictionary[str, Tally] = WeakValueDictionary()
        """All that a loaded version counts into."""
        self._kept: OrderedDict[str, Tally] = OrderedDict()
        """The ones opened last, whether their version is loaded or not."""

    def open(self, version: Version, schema: Schema, reference: Reference | None) -> Tally | None:
        """Return the tally of a version with its counts; None where nothing is counted."""
        if not self.is_on:
            return None
        key = key_of(version)
        with self._lock:
            tally = self._alive.get(key)
            if tally is None:
                run = "" if reference is None else version.run_id
                tally = Tally(key, schema, reference, self.budget, self._clock, run)
                self._alive[key] = tally
            self._kept[key] = tally
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return tally

    def find(self, key: str) -> Tally | None:
        """Return the tally of that key, if it is kept here."""
        with self._lock:
            return self._alive.get(key)

    def all(self) -> Sequence[Tally]:
        """Return those that are kept."""
        with self._lock:
            return list(self._alive.values())


def key_of(version: Version) -> str:
    """Return what identifies a version whatever its model is called."""
    return f"{version.run_id}.{version.version}.{version.created_at:.3f}"
