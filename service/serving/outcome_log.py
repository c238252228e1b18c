"""The outcomes that this replica was told: summed by version and day, and written to MLflow.

Each record has one writer, which replaces all of its counts with each request, together with a
receipt of the request. So replicas cannot overwrite each other, and a reader adds their records.
"""

import threading
from collections import OrderedDict
from dataclasses import replace

from service.common.domain import Version
from service.common.outcomes import OutcomeCounts, OutcomeRecord, Receipt
from service.common.ports import Outcomes

_MOST_OPEN = 64
"""Records that are continued; an older one is left as it is, and another one begun."""


class OutcomeLog:
    """Adds outcomes to records of this replica's own; from any thread."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._open: OrderedDict[tuple[str, str], OutcomeRecord] = OrderedDict()
        self._lock = threading.Lock()

    def add(
        self, version: Version, counts: OutcomeCounts, receipt: Receipt | None, day: str
    ) -> OutcomeRecord:
        """Count rows on a day; they are stored when this returns the record that has them.

        Raises RegistryUnavailable where that is not known; then the same request has to be sent
        again, and counts once if it has a receipt.
        """
        key = version.identity, day
        with self._lock:
            # Taken out: after a failure it is not known which counts MLflow has, so this record
            # is not continued.
            record = self._open.pop(key, None)
            if record is None:
                record = OutcomeRecord(version.identity, version.name, version.version, day, counts)
            else:
                record = replace(record, counts=record.counts.plus(counts))
            record = self._open[key] = self._outcomes.write_outcomes(record, receipt)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        return record
