"""Outcomes in every registry: records of single writers that add up, and receipts."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import RunTag

from service.common.outcomes import Bin, OutcomeCounts, OutcomeRecord, Receipt
from service.common.ports import Registry
from service.registry.connection import Connection
from service.registry.outcomes import MlflowOutcomes
from tests.support.stores import with_tables

DAY = "2026-03-01"
COUNTS = OutcomeCounts(
    2, 3, ("no", True), ((1, 0), (2, 0)), None, 0.1 + 0.2, 1.5, (Bin(),) * 9 + (Bin(3, 2.9, 1),)
)
MANY = OutcomeCounts(999, 999, by_class=((1, 1, 0),) * 999)


def record(of: str, day: str = DAY, counts: OutcomeCounts = COUNTS) -> OutcomeRecord:
    return OutcomeRecord(of, "iris", 7, day, counts)


def test_a_record_is_read_as_it_was_written_last(registry: Registry) -> None:
    first = registry.write_outcomes(record("a"), None)
    assert first.id
    for counts in (COUNTS.plus(COUNTS), MANY, COUNTS):
        second = replace(first, counts=counts)
        assert registry.write_outcomes(second, None) == second
        assert registry.list_outcomes(DAY, "a") == [second]


def test_records_are_found_by_version_and_first_day(registry: Registry) -> None:
    days = ("2026-03-01", "2026-03-02", "2026-03-03")
    written = [registry.write_outcomes(record(of, day), None) for of in "bc" for day in days]

    def found(since: str, of: str | None) -> set[str]:
        known = {one.id for one in written}
        return {one.id for one in registry.list_outcomes(since, of)} & known

    assert found("2026-03-02", "b") == {written[1].id, written[2].id}
    assert found("2026-03-03", None) == {written[2].id, written[5].id}
    assert found("2026-03-04", None) == set()


def test_a_receipt_is_found_by_its_key_whatever_is_written_after_it(registry: Registry) -> None:
    receipts = [Receipt(key * 32, "r" + key, day=DAY, rows=3) for key in "de"]
    kept = registry.write_outcomes(record("d"), receipts[0])
    registry.write_outcomes(kept, receipts[1])
    registry.write_outcomes(kept, None)

    assert [registry.receipt_of_key(one.key) for one in receipts] == receipts
    assert registry.receipt_of_key("f" * 32) is None


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    connection = Connection("", with_tables(tmp_path))
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("counts.0", "{}"),
        ("counts.0", '{"classes": 2, "rows": 1}'),
        ("counts.0", '{"classes": 2, "rows": 1, "labels": [1, 2], "confusion": [[1, 0], [0]]}'),
        ("counts.0", '{"classes": 2, "rows": 5, "labels": [1, 2], "confusion": [[1, 0], [0, 1]]}'),
        ("counts.0", '{"classes": 2, "rows": 1, "by_class": [[1, 1, 1]]}'),
        ("counts.0", '{"classes": 2, "rows": 1, "by_class": [[1, 1, 1], [0, 0, 0]], "brier": 1}'),
        ("parts", "2"),
        ("parts", "x"),
        ("version", "-1"),
        ("day", "yesterday"),
    ],
)
def test_a_record_that_somebody_changed_is_left_out_and_logged(
    connection: Connection, caplog: pytest.LogCaptureFixture, tag: str, value: str
) -> None:
    outcomes = MlflowOutcomes(connection)
    kept = outcomes.write_outcomes(record("a"), None)
    other = outcomes.write_outcomes(record("a"), None)
    connection.client.log_batch(kept.id, tags=[RunTag(tag, value)])

    with caplog.at_level(logging.WARNING, "service.registry.outcomes"):
        assert outcomes.list_outcomes(DAY, "a") == [other]

    assert kept.id in caplog.text
