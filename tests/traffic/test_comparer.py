"""What one version answered is answered again by the other, counted, and never kept."""

import gc
import json
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from service.common.errors import ClassifierUnavailable, Overloaded
from service.common.traffic import Compared
from service.schema.contract import Feature, Schema
from service.serving.predictor import Predictor
from service.skew.budget import Budget
from service.skew.tally import Tally
from service.traffic.answered_rows import MOST_CELLS, AnsweredRows
from service.traffic.comparer import Comparer
from service.traffic.comparison import MOST_PAIRS, Comparison
from tests.support.compared import (
    SCHEMA,
    Matrix,
    Scripted,
    Stage,
    above,
    answer,
    count,
    traffic,
    version,
)
from tests.support.references import FakeClock
from tests.support.site import predictor_for
from tests.support.waiting import wait_until


def drain(predictor: Predictor) -> None:
    assert isinstance(predictor.tally, Tally)
    predictor.tally.drain()


def accounted(counts: Compared) -> int:
    return counts.rows + counts.errors + counts.in_use_errors + counts.shed


# What is compared


def test_a_shadow_answers_again_what_the_version_in_use_answered() -> None:
    in_use = version(Scripted(above(5)))
    stage = Stage(in_use, version(Scripted(above(7))))

    answer(in_use, [1, 2, 6, 7, 8, 9, 6])
    counts = stage.step()

    assert (counts.in_use_rows, counts.second_rows) == (7, 0)
    assert (counts.rows, counts.agreed, counts.disagreed) == (7, 4, {"1 0": 3})
    assert (counts.errors, counts.shed) == (0, 0)


def test_counts_add_up_over_steps() -> None:
    in_use = version(Scripted(above(5)))
    stage = Stage(in_use, version(Scripted(above(7))))

    for _ in range(3):
        answer(in_use, [1, 6])
        counts = stage.step()

    assert (counts.rows, counts.agreed, counts.disagreed) == (6, 3, {"1 0": 3})
    assert stage.step().rows == 6, "each row is compared once"


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_a_shadow_answers_its_share_of_regular_traffic_evenly(percent: int) -> None:
    in_use = version(Scripted(above(0.5)))
    stage = Stage(in_use, version(Scripted(above(2))), percent=percent)

    for _ in range(40):
        answer(in_use, [0.0, 1.0] * 50)  # every other row is of the other class
    counts = stage.step()

    assert counts.in_use_rows == 4000
    assert counts.rows == pytest.approx(40 * percent, abs=2)
    assert counts.disagreed["1 0"] == pytest.approx(20 * percent, abs=4)
    assert counts.shed == 0


def test_rows_of_the_version_s_own_address_are_counted_and_not_compared_in_a_shadow() -> None:
    second = version()
    stage = Stage(version(), second)

    answer(second, [1, 2, 3])

    assert replace(stage.step(), second_rows=0) == Compared()
    assert stage.counts.second_rows == 3


def test_a_split_compares_the_rows_of_both_whatever_the_order_of_their_classes() -> None:
    in_use = version(Scripted(above(5)))  # above 5: "b"
    other_order = Schema(SCHEMA.features, ("b", "a"))
    second = version(Scripted(lambda X: X[:, 0] <= 7), other_order)  # above 7: "b"
    stage = Stage(in_use, second, "split", percent=10)

    answer(in_use, [1, 6, 9])
    answer(second, [2, 6.5, 6.5, 10])
    counts = stage.step()

    assert (counts.in_use_rows, counts.second_rows, counts.rows) == (3, 4, 7)
    assert (counts.agreed, counts.disagreed) == (4, {"1 0": 3})


def test_what_a_real_model_answered_one_by_one_is_asked_again_with_its_missing_texts() -> None:
    """The buffer of a run has the code of what the fitted pipeline puts in place of a text."""
    number = Feature("x", "number", nullable=False)
    known = ("Lima", "Oslo", "Rome")
    schema = Schema((number, Feature("city", "text", True, known, missing_code=2)), ("a", "b"))
    others = ("Rome", "Lima", "Oslo")
    other = Schema((Feature("city", "text", True, others, missing_code=1), number), ("a", "b"))
    in_use, second = predictor_for(schema), predictor_for(other)
    count(in_use)
    count(second)
    stage = Stage(in_use, second)
    rows = [{"x": x, "city": city} for x in (-2.0, -0.5, 0.5, 1.0, 2.0) for city in (*known, None)]

    answers: dict[str, int] = {}
    for row in rows:
        body = json.dumps({"instances": [row]}).encode()
        decoded = in_use.decode_row(body)
        assert decoded is not None
        reply = in_use.predict_rows([decoded[0]])[0]
        assert isinstance(reply, bytes)
        pair = [json.loads(one)["predictions"][0] for one in (reply, second.predict(body)[0])]
        key = " ".join(str(("a", "b").index(label)) for label in pair)
        answers[key] = answers.get(key, 0) + 1
    counts = stage.step()

    agreed = answers.pop("0 0", 0) + answers.pop("1 1", 0)
    assert answers, "some rows show the difference"
    assert (counts.rows, counts.agreed, dict(counts.disagreed)) == (20, agreed, answers)


# What cannot be compared

TEXT = Schema((Feature("city", "text", categories=("Lima", "Oslo")),), ("a", "b"))
NARROW = Schema((Feature("city", "text", categories=("Lima",)),), ("a", "b"))
LOOSE = replace(TEXT, unknown_categories="ignore")
OTHERS = Schema((Feature("city", "text", categories=("Lima", "Rome")),), ("a", "b"))


def test_rows_that_the_second_version_refuses_are_its_errors() -> None:
    in_use = version(schema=TEXT)
    stage = Stage(in_use, version(schema=NARROW))

    answer(in_use, [0, 1, 1])

    counts = stage.step()
    assert (counts.rows, counts.errors, counts.in_use_errors, counts.shed) == (1, 2, 0, 0)


def test_rows_of_a_split_that_the_version_in_use_refuses_are_no_errors_of_the_second() -> None:
    second = version(schema=TEXT)
    stage = Stage(version(schema=NARROW), second, "split")

    answer(second, [0, 1, 1])

    counts = stage.step()
    assert (counts.rows, counts.errors, counts.in_use_errors, counts.shed) == (1, 0, 2, 0)


def test_rows_with_a_text_that_the_matrix_does_not_hold_are_shed() -> None:
    in_use = version(schema=LOOSE)
    stage = Stage(in_use, version(schema=OTHERS))

    in_use.count(np.array([[0.0], [-1.0]]), np.array([0, 0]), None)

    counts = stage.step()
    assert (counts.rows, counts.errors, counts.shed) == (1, 0, 1)


def test_numbers_that_the_second_classifier_does_not_take_are_found_row_by_row() -> None:
    in_use = version()
    stage = Stage(in_use, version())

    in_use.count(np.array([[1.0], [-1.0], [6.0], [-2.0]]), np.array([0, 0, 1, 0]), None)

    counts = stage.step()
    assert (counts.rows, counts.agreed, counts.errors) == (2, 2, 2)


def raising(error: Exception) -> Scripted:
    def fail(_: Matrix) -> Matrix:
        raise error

    return Scripted(fail)


def test_rows_for_which_the_second_version_s_process_is_gone_are_its_errors() -> None:
    in_use = version()
    stage = Stage(in_use, version(raising(ClassifierUnavailable())))

    answer(in_use, [1] * 600)

    counts = stage.step()
    assert (counts.rows, counts.errors, counts.shed, counts.timed) == (0, 600, 0, 0)


def test_rows_are_shed_where_clients_occupy_the_process_of_the_second_version() -> None:
    in_use = version()
    stage = Stage(in_use, version(raising(Overloaded())))

    answer(in_use, [1] * 10)

    counts = stage.step()
    assert (counts.rows, counts.errors, counts.shed, counts.timed) == (0, 0, 10, 0)


def test_pairs_of_classes_beyond_a_thousand_are_counted_together() -> None:
    classes = tuple(f"class {number}" for number in range(40))
    schema = Schema(SCHEMA.features, classes)
    in_use = version(Scripted(lambda X: X[:, 0] // 40), schema)
    stage = Stage(in_use, version(Scripted(lambda X: X[:, 0] % 40), schema))

    answer(in_use, np.arange(1600.0))
    counts = stage.step()

    assert (counts.rows, counts.agreed) == (1600, 40)
    assert len(counts.disagreed) == MOST_PAIRS + 1
    assert counts.disagreed["other"] == 1560 - MOST_PAIRS
    assert counts.disagreed["0 1"] == 1


def test_where_nothing_is_counted_there_is_nothing_to_compare() -> None:
    in_use, second = version(), version()
    in_use.tally = second.tally = None
    stage = Stage(in_use, second)

    answer(in_use, [1, 2])

    assert stage.step() == Compared()


# What it may cost


def test_it_takes_a_tenth_of_a_core_and_sheds_the_rest() -> None:
    in_use = version()
    classifier = Scripted(above(5), row=0.001)
    stage = Stage(in_use, version(classifier))

    for steps in range(1, 11):
        answer(in_use, [1] * 3000)
        counts = stage.step()

        assert classifier.now <= 0.1 * steps + 0.257, "a run of 256 rows at most is beyond it"
        assert accounted(counts) == counts.in_use_rows == 3000 * steps
    assert counts.rows > 600
    assert sum(classifier.sizes) - counts.timed == counts.rows


def test_a_run_is_short_where_the_second_version_is_known_to_be_slow() -> None:
    in_use, second = version(), version(Scripted(above(5), run=0.001, row=0.001))
    second.warm()
    drain(second)
    classifier = second.classifier
    assert isinstance(classifier, Scripted)
    classifier.sizes.clear()
    stage = Stage(in_use, second)

    answer(in_use, [1] * 3000)
    stage.step()

    assert max(classifier.sizes) == 9, "about 10 ms"


def test_between_runs_it_waits_nine_times_as_long_as_the_run_took() -> None:
    in_use = version()
    stage = Stage(in_use, version(Scripted(above(5), row=0.0001)))

    answer(in_use, [1] * 512)
    stage.step()

    assert stage.pauses == pytest.approx([9 * 0.0256] * 2)


def test_a_run_that_takes_seconds_is_paid_for_by_the_steps_that_follow() -> None:
    in_use = version()
    classifier = Scripted(above(5), run=1.0)
    stage = Stage(in_use, version(classifier))

    for _ in range(100):
        answer(in_use, [1])
        counts = stage.step()

    assert 0.08 * 100 < classifier.now <= 0.1 * 100 + 2
    assert counts.rows > 0
    assert counts.timed > 0
    assert max(stage.pauses) == 1.0
    assert accounted(counts) == 100


def test_both_are_timed_in_turn_with_the_same_row() -> None:
    order: list[str] = []

    def told(name: str) -> Scripted:
        def answer_(X: Matrix) -> Matrix:
            if len(X) == 1 and X[0, 0] == 3:
                order.append(name)
            return np.zeros(len(X))

        return Scripted(answer_, run=0.001 if name == "in use" else 0.002)

    in_use = version(told("in use"))
    stage = Stage(in_use, version(told("second")))
    begun = []
    for _ in range(2):
        answer(in_use, [3, 4, 5])
        order.clear()
        counts = stage.step()
        begun.append(order[::2])
        assert order[::2] != order[1::2]

    one, other = ["in use", "second"], ["second", "in use"]
    assert begun == [[*one, *one, "in use"], [*other, *other, "second"]]
    assert counts.timed == 10
    assert counts.in_use_seconds == pytest.approx(0.010)
    assert counts.second_seconds == pytest.approx(0.020)


def test_timing_takes_a_fifth_of_the_time_at_most_so_that_slow_versions_are_compared() -> None:
    in_use = version(Scripted(above(5), run=0.05))
    classifier = Scripted(above(5), run=0.05)
    stage = Stage(in_use, version(classifier))

    for _ in range(100):
        answer(in_use, [1] * 4)
        counts = stage.step()

    assert counts.timed == pytest.approx(100 * 0.02 / 0.1, abs=1)
    assert counts.rows > 4 * 100 * 0.5


def test_what_the_budget_of_counting_left_out_is_shed() -> None:
    budget = Budget(1000, FakeClock())
    in_use = version(budget=budget)
    stage = Stage(in_use, version(), percent=50)

    for _ in range(40):
        answer(in_use, [1] * 500)
    counts = stage.step()

    assert counts.in_use_rows == 20_000
    assert accounted(counts) == pytest.approx(10_000, abs=20)
    assert counts.shed > 5000
    assert counts.rows > 100


def test_rows_that_wait_are_bounded_and_what_does_not_fit_is_shed() -> None:
    rows = AnsweredRows(100)
    wide = np.zeros((300, 1000))

    for _ in range(5):
        rows.take(wide, np.zeros(300, np.int64))

    assert rows.rows == 1500
    assert rows.shed == 500
    waiting = rows.collect()
    assert waiting.rows == MOST_CELLS // 1000
    assert waiting.take(400)[0].shape == (300, 1000), "parts are not put together"
    assert rows.collect().rows == 0

    rows.take(wide, np.zeros(300, np.int64))
    assert rows.collect().rows == 300, "there is room again"
    assert rows.shed == 500


@pytest.mark.parametrize("ends", ["the comparison", "the service"])
def test_what_ends_in_the_middle_of_a_step_asks_no_more(ends: str) -> None:
    in_use = version()
    classifier = Scripted(above(5))
    stage = Stage(in_use, version(classifier))

    def end() -> bool:
        if ends == "the service":
            return True
        stage.comparison = None
        assert stage.comparer.compared(7) is None
        return False

    stage.at_a_pause = end
    answer(in_use, [1] * 1000)
    drain(in_use)
    stage.comparer.step()

    assert [size for size in classifier.sizes if size > 1] == [256]
    if ends == "the service":
        assert (stage.counts.rows, stage.counts.shed) == (256, 744)


# Comparisons that begin and end


def test_another_epoch_begins_anew_and_nobody_watches_the_old_versions() -> None:
    old, in_use, second = version(), version(), version()
    stage = Stage(old, version())
    answer(old, [1, 2])
    assert stage.step().rows == 2

    answer(in_use, [1, 2, 3])  # before it is in use
    stage.comparison = Comparison(8, traffic(), in_use, second)
    assert stage.comparer.compared(7) is None
    assert stage.counts == Compared()
    answer(in_use, [4])
    answer(old, [1] * 50)
    drain(old)

    counts = stage.step()

    assert (counts.in_use_rows, counts.rows) == (1, 1)


def test_without_a_comparison_there_are_no_counts() -> None:
    stage = Stage(version(), version())
    stage.comparison = None

    stage.comparer.step()

    assert stage.comparer.compared(7) is None
    assert not stage.comparer.add_outcomes(7, 1, 2, 3)


def test_no_version_and_no_row_outlives_its_comparison() -> None:
    in_use = version()
    stage = Stage(in_use, version())
    assert stage.comparison is not None
    second = weakref.ref(stage.comparison.second)
    X = np.array([[1.0], [2.0]])
    row = weakref.ref(X)
    in_use.count(X, np.array([0, 0]), None)
    del X

    assert stage.step().rows == 2
    gc.collect()
    assert row() is None

    stage.comparison = None
    stage.comparer.step()
    gc.collect()
    assert second() is None


@pytest.mark.parametrize("then", ["another comparison", "none", "the end of the service"])
def test_no_row_is_kept_once_the_comparison_has_ended(then: str) -> None:
    old = version()
    stage = Stage(old, version())
    if then == "the end of the service":
        stage.comparer.stop()
    else:
        follows = Comparison(8, traffic(), version(), version())
        stage.comparison = None if then == "none" else follows
        stage.comparer.step()
    X = np.array([[1.0], [2.0]])
    row = weakref.ref(X)

    old.count(X, np.array([0, 0]), None)
    del X
    drain(old)
    gc.collect()

    assert row() is None


def test_outcomes_are_added_to_their_epoch_alone() -> None:
    stage = Stage(version(), version())

    assert stage.comparer.add_outcomes(7, only_in_use_right=1, only_second_right=2, rows=10)
    assert stage.comparer.add_outcomes(7, 3, 4, 20)
    assert not stage.comparer.add_outcomes(6, 100, 100, 1000)

    counts = stage.counts
    assert (counts.only_in_use_right, counts.only_second_right, counts.outcomes) == (4, 6, 30)


def test_no_outcome_is_lost_between_threads() -> None:
    stage = Stage(version(), version())

    def add() -> None:
        for _ in range(300):
            stage.comparer.add_outcomes(7, 1, 0, 2)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (stage.counts.only_in_use_right, stage.counts.outcomes) == (1200, 2400)


def test_the_thread_compares_by_itself_until_it_is_stopped() -> None:
    in_use, second = version(), version()
    comparison = Comparison(7, traffic(), in_use, second)
    comparer = Comparer(lambda: comparison)
    assert comparer.compared(7) == Compared()
    answer(in_use, [1, 2, 3])
    drain(in_use)

    comparer.start()
    try:
        counts = wait_until(lambda: (found := comparer.compared(7)) and found.rows and found)
    finally:
        comparer.stop()

    assert isinstance(counts, Compared)
    assert (counts.rows, counts.agreed) == (3, 3)
    assert comparer.compared(7) is None


def test_a_defect_of_one_step_is_logged_and_the_next_step_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    in_use, second = version(), version()
    wrong = version(schema=Schema((Feature("y", "number"),), ("a", "b")))
    said = [Comparison(7, traffic(), in_use, wrong)]
    comparer = Comparer(lambda: said[0])

    comparer.start()
    try:
        wait_until(lambda: "comparing two versions met a defect" in caplog.text)
        said[0] = Comparison(8, traffic(), in_use, second)
        wait_until(lambda: comparer.compared(8))
        answer(in_use, [1])
        drain(in_use)
        wait_until(lambda: (found := comparer.compared(8)) and found.rows)
    finally:
        comparer.stop()
