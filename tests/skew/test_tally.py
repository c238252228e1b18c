"""What is asked becomes counts: every row once, at most as many as the budget, never kept."""

import threading

import numpy as np
import pytest

from service.skew.budget import Budget
from service.skew.report import SkewReport, report
from service.skew.tallies import Tallies
from service.skew.tally import Labels, Matrix, Tally
from service.skew.windows import HOUR
from tests.support.fakes import make_version
from tests.support.references import FAR_MORE, MIXED, FakeClock, mixed_rows, reference_of, tally_of


def counted(tally: Tally) -> int:
    """Return the rows in the bins."""
    tally.drain()
    return int(tally.total[tally.layout.classes].sum())


def told(tally: Tally) -> SkewReport:
    return report(tally, tally.window(HOUR))


def test_rows_and_matrices_are_counted_alike() -> None:
    rows = mixed_rows(600, seed=1)
    labels = np.arange(600) % 2
    one, other = tally_of(), tally_of()

    for start in range(0, 600, 7):
        part = slice(start, start + 7)
        one.add_rows(list(map(tuple, rows[part])), labels[part].tolist())
    other.add_matrix(rows, labels, None)

    assert one.window(HOUR) == other.window(HOUR)
    assert counted(one) == 600


def test_the_largest_probability_is_counted_where_it_is_known() -> None:
    tally = tally_of()
    rows = list(map(tuple, mixed_rows(3)))

    tally.add_rows(rows, [0, 1, 1])
    tally.add_rows(rows, [0, 1, 1], [0.6, 0.7, 0.7])
    tally.add_matrix(mixed_rows(1), np.array([0]), np.array([[0.9, 0.1]]))

    tally.drain()
    assert tally.total[tally.layout.confidence].tolist() == [0, 0, 0, 0, 0, 0, 1, 2, 0, 1]
    assert counted(tally) == 7


def test_a_matrix_that_may_change_is_copied() -> None:
    tally, unchanged = tally_of(), tally_of()
    rows = mixed_rows(50)
    unchanged.add_matrix(rows.copy(), np.zeros(50, np.int64), None)

    tally.add_matrix(rows, np.zeros(50, np.int64), None, keep=False)
    rows[:] = 0

    assert tally.window(HOUR) == unchanged.window(HOUR)


def test_no_row_is_kept_once_it_is_counted() -> None:
    tally = tally_of()
    rows = [(0.123456789, 1.0, 2.0, 1.0, 0.0)]
    tally.add_rows(rows, [0])

    tally.drain()

    held = np.concatenate([tally.total, *(
        bucket.counts for ring in tally.windows.rings for bucket in ring.buckets.values()
    )])  # fmt: skip
    assert held.dtype == np.int64
    assert held.max() <= 1


def test_no_row_is_lost_while_others_are_counted() -> None:
    tally = tally_of()
    rows = list(map(tuple, mixed_rows(4)))
    done = threading.Event()

    def drain() -> None:
        while not done.is_set():
            tally.drain()

    def add() -> None:
        for _ in range(500):
            tally.add_rows(rows, [0, 1, 0, 1])

    draining = threading.Thread(target=drain)
    adding = [threading.Thread(target=add) for _ in range(3)]
    for thread in (draining, *adding):
        thread.start()
    for thread in adding:
        thread.join()
    done.set()
    draining.join()

    assert counted(tally) == tally.rows == 6000


# The budget


def test_within_the_budget_every_row_is_counted() -> None:
    budget = Budget(5000, FakeClock())
    tally = tally_of(budget=budget)

    for _ in range(5000):
        tally.add_rows([tuple(mixed_rows(1)[0])], [0])

    assert counted(tally) == 5000


def test_above_the_budget_one_in_k_is_counted_and_the_others_are_too() -> None:
    clock = FakeClock()
    budget = Budget(1000, clock)
    tally = tally_of(budget=budget)
    rows = list(map(tuple, mixed_rows(32)))
    for _second in range(4):
        for _ in range(500):  # 16,000 rows a second
            tally.add_rows(rows, [0] * 32)
        clock.now += 1
        budget.renew()

    assert budget.stride == 16
    before = counted(tally)
    for _ in range(500):
        tally.add_rows(rows, [0] * 32)
    assert counted(tally) - before == pytest.approx(1000, rel=0.02)
    assert tally.rows == 5 * 16_000

    clock.now += 10
    budget.renew()
    clock.now += 1
    budget.renew()
    assert budget.stride == 1, "once fewer come, all are counted again"


def test_regular_traffic_is_sampled_evenly() -> None:
    """Of batches that are always alike, each place is counted as often as any other."""
    budget = Budget(1000, FakeClock())
    budget.stride = 8
    chosen = np.zeros(32)

    for _ in range(1000):
        first, stride = budget.take(32, 0.0)
        chosen[first::stride] += 1

    assert chosen.min() > 110
    assert chosen.max() < 140


def test_runs_of_regular_traffic_are_counted_whole_one_in_k() -> None:
    budget = Budget(1000, FakeClock())
    budget.stride = 8

    taken = [budget.takes(32, 0.0) for _ in range(8000)]

    assert sum(taken) == pytest.approx(1000, rel=0.02)
    by_turn = [sum(taken[turn::16]) for turn in range(16)]
    assert min(by_turn) > 50, "runs that alternate are all counted"
    assert max(by_turn) < 75


def test_a_run_is_copied_and_what_is_left_out_of_runs_is_counted() -> None:
    budget = Budget(100, FakeClock())
    tally = tally_of(budget=budget)
    buffer, labels = mixed_rows(10), np.zeros(10, np.int64)
    for _ in range(1000):
        tally.add_run(buffer, labels)
    buffer[:] = 0

    sampled = counted(tally)

    assert 100 <= sampled < 1500
    assert tally.rows == 10_000
    assert tally.total[tally.layout.features[0].outside] == 0, "no row of zeros is there"


def test_a_file_of_a_million_rows_costs_no_more_than_a_second() -> None:
    budget = Budget(5000, FakeClock())
    tally = tally_of(budget=budget)
    rows = np.zeros((1_000_000, 5))

    tally.add_matrix(rows, np.zeros(1_000_000, np.int64), None, keep=False)

    assert 4900 < counted(tally) <= 5000
    assert tally.rows == 1_000_000


def test_the_first_second_of_a_flood_is_bounded_too() -> None:
    tally = tally_of(budget=Budget(1000, FakeClock()))

    for _ in range(5000):
        tally.add_matrix(np.zeros((200, 5)), np.zeros(200, np.int64), None)

    assert counted(tally) < 8000


# What watches it


class Watching:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.X: list[Matrix] = []
        self.labels: list[int] = []
        self.left_out = 0
        self.failed = 0

    def take(self, X: Matrix, labels: Labels) -> None:
        self.X.append(X)
        self.labels += labels.tolist()

    def leave_out(self, rows: int) -> None:
        self.left_out += rows

    def fail(self) -> None:
        self.failed += 1


def test_a_watcher_gets_every_row_with_its_class_however_it_was_added() -> None:
    tally, watching = tally_of(), Watching()
    rows, labels = mixed_rows(9), np.arange(9) % 2
    tally.watch(watching)

    tally.add_rows(list(map(tuple, rows[:3])), labels[:3].tolist())
    tally.add_matrix(rows[3:6], labels[3:6], None)
    tally.add_matrix(rows[6:], labels[6:], np.full((3, 2), 0.5))
    tally.drain()

    # Matrices with probabilities come in a group of their own, after those without.
    np.testing.assert_array_equal(np.concatenate(watching.X), rows)
    assert watching.labels == labels.tolist()
    assert watching.left_out == 0
    assert counted(tally) == 9, "they are counted all the same"


def test_a_watcher_is_told_how_many_rows_the_budget_left_out() -> None:
    tally, watching = tally_of(budget=Budget(100, FakeClock())), Watching()
    buffer, labels = mixed_rows(10), np.zeros(10, np.int64)
    tally.watch(watching)

    for _ in range(1000):
        tally.add_run(buffer, labels)
    tally.add_matrix(np.zeros((5000, 5)), np.zeros(5000, np.int64), None, keep=False)

    sampled = counted(tally)
    assert len(watching.labels) == sampled
    assert watching.left_out == tally.rows - sampled == 15_000 - sampled > 10_000


def test_a_watcher_is_told_of_requests_that_failed_while_it_watches() -> None:
    tally, watching = tally_of(), Watching()

    tally.fail()
    tally.watch(watching)
    tally.fail()
    tally.watch(None)
    tally.fail()

    assert watching.failed == 1


def test_a_watcher_gets_what_is_answered_while_it_watches_and_nothing_else() -> None:
    tally, first, second = tally_of(), Watching(), Watching()
    zeros = np.zeros(1, np.int64)

    for watcher in (None, first, second, None):
        tally.watch(watcher)
        tally.add_matrix(mixed_rows(1), zeros, None)
    tally.drain()

    assert (len(first.labels), len(second.labels)) == (1, 1)
    assert counted(tally) == 4


# What it says


@pytest.mark.slow
def test_no_drift_raises_no_alarm_in_200_windows() -> None:
    random = np.random.default_rng(11)
    pool = mixed_rows(400_000, seed=3)
    for window in range(200):
        fitted = mixed_rows(int(random.integers(500, 20_000)), seed=1000 + window)
        tally = tally_of(X=fitted)
        size = int(np.exp(random.uniform(np.log(500), np.log(50_000))))
        rows = pool[random.integers(0, len(pool), size)]
        tally.add_matrix(rows, (random.random(size) < 0.4).astype(np.int64), None)

        found = told(tally)

        assert found.sampled == size
        verdicts = {one.divergence.verdict for one in found.features} | {found.answers.verdict}
        assert verdicts == {"ok"}, window


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_one_standard_deviation_is_told_within_500_rows(place: int, sign: int) -> None:
    fitted, rows = mixed_rows(2000), mixed_rows(500, seed=9)
    rows[:, place] += sign * np.nanstd(fitted[:, place])
    tally = tally_of(X=fitted)
    tally.add_matrix(rows, (np.arange(500) % 5 < 2).astype(np.int64), None)

    found = told(tally)

    drifted = [one.name for one in found.features if one.divergence.verdict == "drift"]
    assert drifted == [MIXED[place].name] == [found.features[0].name]
    assert found.answers.verdict == "ok"


def test_a_jump_of_missing_values_and_a_new_category_are_drift() -> None:
    rows = mixed_rows(1000, seed=4)
    rows[:500, 2] = np.nan
    rows[:400, 4] = -1.0
    tally = tally_of()
    tally.add_matrix(rows, np.zeros(1000, np.int64), None)

    found = {one.name: one for one in told(tally).features}

    assert found["gaps"].divergence.verdict == found["city"].divergence.verdict == "drift"
    assert found["gaps"].missing > 500 > 5 * 20 > 0
    assert found["gaps"].expected_missing == pytest.approx(100, abs=25)
    assert found["city"].unseen == 400
    assert [one.label for one in found["city"].bins] == [
        "Lima", "Oslo", "Rome", "others", "missing",
    ]  # fmt: skip


def test_other_answers_are_drift_of_the_predictions() -> None:
    tally = tally_of()
    tally.add_matrix(mixed_rows(800), np.ones(800, np.int64), np.full((800, 2), 0.5))

    found = told(tally)

    assert found.answers.verdict == "drift"
    assert [(one.label, one.share, one.expected) for one in found.classes] == [
        ("class 0", 0.0, 0.6),
        ("class 1", 1.0, 0.4),
    ]
    assert found.confidence is not None
    assert found.confidence[0].verdict == "ok"


def test_without_a_row_there_is_a_report_that_says_so() -> None:
    found = told(tally_of())

    assert (found.rows, found.sampled, found.since, found.confidence) == (0, 0, None, None)
    assert {one.divergence.verdict for one in found.features} == {"too few rows"}


# Versions


def test_a_change_back_goes_on_where_it_ended() -> None:
    tallies = Tallies(FAR_MORE, FakeClock())
    schema, reference = reference_of(MIXED, mixed_rows(100), np.array([5, 5]))
    first = make_version(run_id="a")
    tally = tallies.open(first, schema, reference)
    assert tally is not None
    tally.add_matrix(mixed_rows(10), np.zeros(10, np.int64), None)
    del tally
    tallies.open(make_version(run_id="b"), schema, reference)

    again = tallies.open(first, schema, reference)

    assert again is not None
    assert again.window(HOUR).rows == 10


def test_counts_of_a_loaded_version_are_kept_however_many_others_come() -> None:
    tallies = Tallies(FAR_MORE, FakeClock())
    schema, reference = reference_of(MIXED, mixed_rows(100), np.array([5, 5]))
    loaded = make_version(run_id="a")
    tally = tallies.open(loaded, schema, reference)

    for number in range(50):
        tallies.open(make_version(run_id=str(number)), schema, reference)

    assert tallies.open(loaded, schema, reference) is tally
    assert len(tallies.all()) <= 10, "the counts of others make room"


def test_nothing_is_counted_where_it_is_turned_off() -> None:
    schema, reference = reference_of(MIXED, mixed_rows(100), np.array([5, 5]))

    assert Tallies(0).open(make_version(), schema, reference) is None
