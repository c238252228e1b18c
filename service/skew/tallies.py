"""The tallies of the versions that this replica serves. A change of the model keeps them."""

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
"""The tallies of this many versions are kept even when the versions are no longer loaded."""


class Tallies:
    """Opens the tally of a version; its methods may be called from any thread."""

    def __init__(self, rows_per_second: int, clock: Callable[[], float] = time) -> None:
        """Count at most this many rows a second of all versions; with 0 nothing is counted.

        `clock` returns seconds since 1970.
        """
        self.is_on = rows_per_second > 0
        self.budget = Budget(max(1, rows_per_second))
        self._clock = clock
        self._lock = threading.Lock()
        self._alive: WeakValueDictionary[str, Tally] = WeakValueDictionary()
        """All tallies that exist: those of the loaded versions, and those in `_kept`."""
        self._kept: OrderedDict[str, Tally] = OrderedDict()
        """The tallies that were opened last, even if their versions are no longer loaded."""

    def open(self, version: Version, schema: Schema, reference: Reference | None) -> Tally | None:
        """Return the tally of a version, the same one as before if it is kept.

        Returns None if nothing is counted.
        """
        if not self.is_on:
            return None
        key = version.identity
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
        """Return the tally of the version of that identity, if there is one here."""
        with self._lock:
            return self._alive.get(key)

    def all(self) -> Sequence[Tally]:
        """Return all tallies."""
        with self._lock:
            return list(self._alive.values())
