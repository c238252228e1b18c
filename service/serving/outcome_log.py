"""The outcomes that this replica received, summed by version and day, and written to MLflow.

Each record is written by one replica alone, so that replicas cannot overwrite each other; readers
add the records up. Each request replaces the counts of its record, and adds a receipt.
"""

import threading
from collections import OrderedDict
from dataclasses import replace

from service.common.domain import Version
from service.common.outcomes import OutcomeCounts, OutcomeRecord, Receipt
from service.common.ports import Outcomes

_MOST_OPEN = 64
"""At most this many records are continued; for an older one a new record is begun."""


class OutcomeLog:
    """Adds outcomes to the records of this replica; may be called from any thread."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._open: OrderedDict[tuple[str, str], OutcomeRecord] = OrderedDict()
        self._lock = threading.Lock()

    def add(
        self, version: Version, counts: OutcomeCounts, receipt: Receipt | None, day: str
    ) -> OutcomeRecord:
        """Add counts to the record of their day; store and return it.

        Raises RegistryUnavailable if it is not known whether it was stored. Then the client has to
        send its request again, which counts once if there is a receipt.
        """
        key = version.identity, day
        with self._lock:
            # Taken out, since after a failure it is not known which counts MLflow has: this record
            # is then not continued.
            record = self._open.pop(key, None)
            if record is None:
                record = OutcomeRecord(version.identity, version.name, version.version, day, counts)
            else:
                record = replace(record, counts=record.counts.plus(counts))
            record = self._open[key] = self._outcomes.write_outcomes(record, receipt)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        return record
