"""Outcomes in MLflow: a run for the counts of each version, day and replica."""

import calendar
import logging
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from service.common.errors import ServiceError
from service.common.outcomes import OutcomeCounts, OutcomeRecord, Receipt
from service.registry.connection import RegistryPart

logger = logging.getLogger(__name__)

_RECEIPT = "receipt."
_COUNTS = "counts."
"""Tags with the parts of the counts as JSON, in order."""
_LONGEST_TAG = 5000
_AT_ONCE = 1000


class MlflowOutcomes(RegistryPart):
    """The port `Outcomes` over one connection."""

    def write_outcomes(self, record: OutcomeRecord, receipt: Receipt | None) -> OutcomeRecord:
        """Write a record with a receipt in one step; return it with its id.

        MLflow writes the tags of one call in one transaction.
        """
        from mlflow.entities import RunTag

        tags = _tags(record, receipt)
        if record.id:
            with self._connection.calls():
                self._client.log_batch(record.id, tags=[RunTag(*tag) for tag in tags.items()])
            return record
        with self._connection.calls():
            run = self._client.create_run(
                self._connection.experiment("outcomes"),
                start_time=_start_of(record.day),
                run_name=f"{record.name} {record.version} {record.day}",
                tags=tags,
            )
        with suppress(ServiceError), self._connection.calls():  # only MLflow's page shows it
            self._client.set_terminated(run.info.run_id)
        return replace(record, id=run.info.run_id)

    def receipt_of_key(self, key: str) -> Receipt | None:
        """Return the receipt of the request that had this key, or None."""
        runs = self._connection.search_runs("outcomes", f"tags.`{_RECEIPT}{key}` != ''", 1)
        if not runs:
            return None
        try:
            return msgspec.json.decode(runs[0].data.tags[f"{_RECEIPT}{key}"], type=Receipt)
        except msgspec.DecodeError:
            return None

    def list_outcomes(self, since: str, of: str | None = None) -> Sequence[OutcomeRecord]:
        """Return the records from a day on, of one version or all; unreadable ones are left out."""
        wanted = f"attributes.start_time >= {_start_of(since)}"
        if of is not None:
            wanted += f" and tags.of = '{of}'"
        records: list[OutcomeRecord] = []
        token: str | None = None
        while True:
            page = self._connection.search_runs("outcomes", wanted, _AT_ONCE, token)
            for run in page:
                record = _record(run)
                if record is None:
                    logger.warning("the outcomes of run %s are not readable", run.info.run_id)
                else:
                    records.append(record)
            token = page.token
            if not token:
                return records


def _start_of(day: str) -> int:
    return calendar.timegm(time.strptime(day, "%Y-%m-%d")) * 1000


def _tags(record: OutcomeRecord, receipt: Receipt | None) -> dict[str, str]:
    counts = msgspec.json.encode(record.counts).decode()
    parts = [counts[at : at + _LONGEST_TAG] for at in range(0, len(counts), _LONGEST_TAG)]
    tags = {
        "of": record.of,
        "model": record.name,
        "version": str(record.version),
        "day": record.day,
        "rows": str(record.counts.rows),
        "parts": str(len(parts)),
        **{f"{_COUNTS}{at}": part for at, part in enumerate(parts)},
    }
    if receipt is not None:
        tags[f"{_RECEIPT}{receipt.key}"] = msgspec.json.encode(receipt).decode()
    return tags


def _record(run: Any) -> OutcomeRecord | None:
    """Read a run; any of its tags may have been changed in MLflow's page, so none is trusted."""
    tags: Mapping[str, str] = run.data.tags
    version, parts = tags.get("version", ""), tags.get("parts", "")
    if not (re.fullmatch(r"[1-9][0-9]{0,8}", version) and re.fullmatch(r"[1-9][0-9]?", parts)):
        return None
    try:
        time.strptime(tags.get("day", ""), "%Y-%m-%d")
        text = "".join(tags[f"{_COUNTS}{at}"] for at in range(int(parts)))
        counts = msgspec.json.decode(text, type=OutcomeCounts)
    except (KeyError, ValueError):
        return None
    if not counts.is_sound():
        return None
    of, name = tags.get("of", ""), tags.get("model", "")
    return OutcomeRecord(of, name, int(version), tags["day"], counts, run.info.run_id)
