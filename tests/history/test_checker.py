"""The checker finds each violation in wrong histories, and accepts correct ones."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.history import history
from tests.history.checker import check, unavailability
from tests.history.history import Operation, Outcome


def a_use(
    start: float,
    end: float,
    epoch: int,
    version: int,
    outcome: Outcome = "acknowledged",
    expected: int | None = None,
    previous: int | None = None,
) -> Operation:
    return Operation(
        "writer", "use", "r0", start, end, outcome, epoch, f"m/{version}",
        expected=expected, previous=previous,
    )  # fmt: skip


def a_read(
    start: float, end: float, epoch: int, version: int, replica: str = "r0", client: str = ""
) -> Operation:
    model = f"m/{version}"
    client = client or f"reader of {replica} at {start}"
    return Operation(client, "read", replica, start, end, "ok", epoch, model, model, model)


FIRST = a_use(0, 1, 1, 1)
SECOND = a_use(10, 12, 2, 2, previous=1)
OLD = a_read(8, 9, 1, 1)
NEW = a_read(13, 14, 2, 2)
HONEST = [FIRST, OLD, SECOND, NEW]

DOCTORED: dict[str, tuple[str, Sequence[Operation]]] = {
    "a replica answers from the older one after the acknowledgement": (
        "stale-after-acknowledgement",
        [*HONEST, a_read(15, 16, 1, 1, "r1")],
    ),
    "it does so right after the acknowledgement, before anybody saw the newer one": (
        "stale-after-acknowledgement",
        [FIRST, SECOND, a_read(12.001, 12.002, 1, 1, "r2")],
    ),
    "it does so long after": (
        "stale-after-acknowledgement",
        [*HONEST, a_read(1000, 1001, 1, 1, "r1")],
    ),
    "it is two changes behind": (
        "stale-after-acknowledgement",
        [*HONEST, a_use(20, 21, 3, 3, previous=2), a_read(22, 23, 1, 1, "r1")],
    ),
    "an acknowledgement follows one of a later epoch that was asked for at the same time": (
        "stale-after-acknowledgement",
        [FIRST, a_use(10, 12, 3, 3), a_use(10, 15, 2, 2), a_read(16, 17, 2, 2)],
    ),
    "an epoch is read before its change was asked for": (
        "from-the-future",
        [*HONEST, a_read(8, 9, 2, 2, "r1")],
    ),
    "an epoch of a 202 is read before it was asked for": (
        "from-the-future",
        [*HONEST, a_read(15, 16, 3, 3), a_use(17, 18, 3, 3, "committed")],
    ),
    "an epoch is read that nobody asked for": (
        "from-nowhere",
        [*HONEST, a_read(15, 16, 3, 3)],
    ),
    "a change that was refused with `nothing has changed` takes effect": (
        "from-nowhere",
        [*HONEST, a_use(15, 16, 0, 3, "unchanged"), a_read(17, 18, 3, 3)],
    ),
    "one change of an unknown outcome takes effect twice": (
        "from-nowhere",
        [*HONEST, a_use(15, 16, 0, 3, "unknown"), a_read(17, 18, 3, 3), a_read(19, 20, 4, 3)],
    ),
    "a change of an unknown outcome takes effect before it was asked for": (
        "from-nowhere",
        [*HONEST, a_read(14, 15, 3, 3), a_use(16, 17, 0, 3, "unknown")],
    ),
    "a client goes back from one replica to another while the change is under way": (
        "client-went-back",
        [
            FIRST,
            a_read(10.2, 10.3, 2, 2, "r0", "one"),
            a_read(10.4, 10.5, 1, 1, "r1", "one"),
            SECOND,
        ],
    ),
    "a second client sees the older one after a first one saw the newer": (
        "went-back",
        [FIRST, a_read(10.2, 10.3, 2, 2, "r0"), a_read(10.4, 10.5, 1, 1, "r1"), SECOND],
    ),
    "one replica goes back, under a change that was never acknowledged": (
        "replica-went-back",
        [
            FIRST,
            a_use(10, 12, 2, 2, "committed"),
            a_read(13, 14, 2, 2, "r1"),
            a_read(15, 16, 1, 1, "r1"),
        ],
    ),
    "the headers name another version than the body": (
        "torn",
        [*HONEST, replace(a_read(15, 16, 2, 2), body="m/1")],
    ),
    "the prediction is that of another version than headers and body name": (
        "torn",
        [*HONEST, replace(a_read(15, 16, 2, 2), label="m/1")],
    ),
    "one epoch is two versions": (
        "one-epoch-one-model",
        [*HONEST, a_read(15, 16, 2, 3)],
    ),
    "two changes are answered with one epoch": (
        "one-epoch-one-change",
        [*HONEST, a_use(10, 13, 2, 2)],
    ),
    "two compare-and-sets win over the same epoch": (
        "two-winners",
        [
            FIRST,
            a_use(10, 12, 2, 2, expected=1, previous=1),
            a_use(10, 13, 3, 3, expected=1, previous=1),
        ],
    ),
    "a compare-and-set wins over an epoch that was not the newest": (
        "wrong-winner",
        [*HONEST, a_use(20, 21, 3, 3, expected=1, previous=2)],
    ),
    "a change that was asked for later gets the lower epoch": (
        "changes-out-of-order",
        [FIRST, a_use(10, 12, 3, 3), a_use(13, 14, 2, 2)],
    ),
    "an answer is older than the client said that it may be": (
        "below-minimum",
        [*HONEST, replace(a_read(9, 9.5, 1, 1), minimum=2)],
    ),
}

CLEAN: dict[str, Sequence[Operation]] = {
    "a change and reads around it": HONEST,
    "old and new answers to requests at the same time as each other and the change": [
        FIRST,
        a_read(10.1, 10.9, 2, 2, "r0"),
        a_read(10.2, 10.8, 1, 1, "r1"),
        SECOND,
    ],
    "an answer from the older one to a request from before the acknowledgement": [
        *HONEST,
        a_read(11.9, 20, 1, 1, "r1"),
    ],
    "replicas that differ for long under a change that was not acknowledged": [
        FIRST,
        a_use(10, 12, 2, 2, "committed"),
        a_read(13, 14, 2, 2, "r0", "one"),
        a_read(15, 16, 1, 1, "r1", "one"),
        a_read(17, 18, 2, 2, "r1", "one"),
    ],
    "a change of an unknown outcome that happens much later": [
        *HONEST,
        a_use(15, 16, 0, 3, "unknown"),
        a_read(17, 18, 2, 2),
        a_read(500, 501, 3, 3),
    ],
    "a change of an unknown outcome that never happens": [
        *HONEST,
        a_use(15, 16, 0, 3, "unknown"),
        a_read(500, 501, 2, 2),
    ],
    "two changes of unknown outcomes to one version, both of which happen": [
        *HONEST,
        a_use(15, 16, 0, 3, "unknown"),
        a_use(15, 17, 0, 3, "unknown"),
        a_read(18, 19, 3, 3),
        a_read(20, 21, 4, 3),
    ],
    "compare-and-sets of which one loses, which leaves a gap": [
        FIRST,
        a_use(10, 12, 2, 2, expected=1, previous=1),
        a_use(10, 12, 0, 3, "unchanged", expected=1),
        a_use(13, 14, 4, 3, expected=2, previous=2),
        a_read(15, 16, 4, 3),
    ],
    "predictions that fail": [*HONEST, replace(a_read(15, 16, 0, 0), outcome="failed")],
}


@pytest.mark.parametrize("story", DOCTORED)
def test_a_doctored_history_is_caught_by_the_rule_it_breaks(story: str) -> None:
    rule, operations = DOCTORED[story]

    assert rule in {violation.rule for violation in check(operations)}


@pytest.mark.parametrize("story", CLEAN)
def test_a_clean_history_is_accepted(story: str) -> None:
    assert check(CLEAN[story]) == []


def test_the_order_in_which_operations_were_written_down_does_not_matter() -> None:
    for _, operations in DOCTORED.values():
        rules = {violation.rule for violation in check(operations)}
        assert {violation.rule for violation in check(operations[::-1])} == rules


def test_failed_predictions_are_counted_by_reason() -> None:
    failed = replace(NEW, outcome="failed", reason="503 overloaded")

    assert unavailability([*HONEST, failed, failed]) == {"503 overloaded": 2}


def test_a_history_is_read_as_it_was_written() -> None:
    assert history.decode(history.encode(HONEST)) == HONEST


def test_a_large_history_is_judged_in_seconds() -> None:
    """Check a tenth of a long run's operations, so that a whole run takes less than 30 s."""
    changes, reads = 100, 1000
    operations = [a_use(i, i + 0.1, i + 1, i + 1) for i in range(changes)]
    operations += [
        a_read(i + 0.2 + k / 2000, i + 0.2 + (k + 1) / 2000, i + 1, i + 1, f"r{k % 3}", f"c{k % 5}")
        for i in range(changes)
        for k in range(reads)
    ]

    start = time.process_time()
    assert check(operations) == []
    assert time.process_time() - start < 20
