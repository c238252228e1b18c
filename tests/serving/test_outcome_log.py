"""The outcomes of a replica: one record a version and day, and nothing lost or counted twice."""

import threading
from pathlib import Path

import pytest

from service.common.errors import RegistryUnavailable
from service.common.outcomes import OutcomeCounts, OutcomeRecord, Receipt, total
from service.serving.outcome_log import OutcomeLog
from tests.support.fakes import FakeRegistry, make_version

DAY, NEXT = "2026-03-01", "2026-03-02"
ONE = OutcomeCounts(2, 1, ("a", "b"), ((1, 0), (0, 0)))
VERSION = make_version(name="m", version=7, created_at=1.0)


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    return FakeRegistry(tmp_path)


def rows(registry: FakeRegistry, day: str = DAY) -> int:
    found = total(one.counts for one in registry.list_outcomes(day, VERSION.identity))
    return 0 if found is None else found.rows


def test_a_replica_keeps_one_record_a_version_and_day(registry: FakeRegistry) -> None:
    log = OutcomeLog(registry)

    for day in (DAY, DAY, NEXT, DAY):
        log.add(VERSION, ONE, None, day)

    assert sorted((one.day, one.counts.rows) for one in registry.outcomes.values()) == [
        (DAY, 3),
        (NEXT, 1),
    ]


def test_replicas_and_threads_at_one_time_lose_nothing(registry: FakeRegistry) -> None:
    logs = [OutcomeLog(registry), OutcomeLog(registry)]

    def add(log: OutcomeLog) -> None:
        for _ in range(50):
            log.add(VERSION, ONE, None, DAY)

    threads = [threading.Thread(target=add, args=(log,)) for log in logs * 4]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert rows(registry) == 400
    assert len(registry.outcomes) == 2


class Unanswering(FakeRegistry):
    """Loses the answers to writes while it is told to; the writes are made."""

    losing = False

    def write_outcomes(self, record: OutcomeRecord, receipt: Receipt | None) -> OutcomeRecord:
        kept = super().write_outcomes(record, receipt)
        if self.losing:
            raise RegistryUnavailable("its answer was lost by a test.")
        return kept


@pytest.mark.parametrize("made", [True, False])
def test_after_a_write_that_failed_what_was_answered_before_stays_and_counts_once(
    tmp_path: Path, made: bool
) -> None:
    registry = Unanswering(tmp_path)
    log = OutcomeLog(registry)
    log.add(VERSION, ONE, None, DAY)

    registry.losing, registry.down = made, not made
    with pytest.raises(RegistryUnavailable):
        log.add(VERSION, ONE, Receipt("k", "r"), DAY)
    registry.losing = registry.down = False
    # What a client does: the request again, unless its receipt is there.
    if registry.receipt_of_key("k") is None:
        log.add(VERSION, ONE, Receipt("k", "r"), DAY)
    log.add(VERSION, ONE, None, DAY)

    assert rows(registry) == 3


def test_a_number_that_was_given_to_another_version_is_counted_apart(
    registry: FakeRegistry,
) -> None:
    log = OutcomeLog(registry)
    log.add(VERSION, ONE, None, DAY)
    log.add(make_version(name="m", version=7, created_at=2.0), ONE, None, DAY)

    assert rows(registry) == 1


def test_records_beyond_those_that_are_kept_open_lose_nothing(registry: FakeRegistry) -> None:
    log = OutcomeLog(registry)
    versions = [make_version(name="m", version=7, created_at=float(at)) for at in range(1, 80)]

    for version in versions * 2:
        log.add(version, ONE, None, DAY)

    assert rows(registry) == 2
    assert sum(one.counts.rows for one in registry.outcomes.values()) == 158
