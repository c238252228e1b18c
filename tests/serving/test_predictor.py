"""The latency model of a predictor: how it learns, and what it admits to the event loop."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from service.common.errors import InvalidInput
from service.schema.contract import Feature, Schema
from service.schema.decoder import Limits
from service.serving.latency_model import LatencyModel
from service.serving.predictor import Predictor
from tests.support.classifiers import ClockedClassifier, FakeClassifier, predictor_of

BODY = b'{"instances": [[1.5, 2]]}'


def test_the_estimate_follows_the_runs_and_an_outlier_hardly_counts() -> None:
    latency_model = LatencyModel(0.001, 0.001 + 63e-6)
    assert (latency_model.base, latency_model.row) == pytest.approx((0.999e-3, 1e-6))
    latency_model.learn(1, 10.0)
    assert latency_model.seconds(1) < 0.0015

    for _ in range(100):
        latency_model.learn(1, 0.004)
        latency_model.learn(10_000, 0.054)

    assert latency_model.base == pytest.approx(0.004, rel=0.1)
    assert latency_model.row == pytest.approx(5e-6, rel=0.1)


def test_a_model_that_was_wrongly_taken_for_slow_or_fast_is_corrected() -> None:
    classifier = FakeClassifier()
    classifier.seconds = 0.003
    predictor = predictor_of(classifier)
    assert predictor.slow
    assert predictor.predict_at_once(BODY) is None

    classifier.seconds = 0.0
    for _ in range(100):
        predictor.predict(BODY)
    assert not predictor.slow
    assert predictor.predict_at_once(BODY) is not None

    classifier.seconds = 0.003
    for _ in range(100):
        predictor.predict(BODY)
    assert predictor.slow


def test_waiting_for_the_processor_does_not_make_a_model_slow() -> None:
    class Waiting(FakeClassifier):
        def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
            time.sleep(0.002)
            return super().labels(X)

    predictor = predictor_of(Waiting())

    assert not predictor.slow


def test_what_another_process_answers_is_never_waited_for_on_the_event_loop() -> None:
    class Remote(FakeClassifier):
        in_other_process = True

    predictor = predictor_of(Remote())

    assert predictor.slow
    assert not predictor.is_quick(len(BODY))
    assert predictor.predict_at_once(BODY) is None
    assert predictor.predict_at_once(b'{"instances": [{"featuer 1": 1}]}') is None


def test_time_spent_by_a_worker_counts_as_the_models_time() -> None:
    class Remote(FakeClassifier):
        spent = 0.0

        def clock(self) -> float:
            return time.thread_time() + self.spent

        def labels(self, X: NDArray[np.float64]) -> NDArray[np.int64]:
            self.spent += 0.02
            return super().labels(X)

    assert predictor_of(Remote()).latency_model.seconds(1) == pytest.approx(0.02, rel=0.2)


def test_what_is_wrong_is_worked_out_at_once_only_where_that_is_short() -> None:
    predictor = predictor_of(FakeClassifier())
    with pytest.raises(InvalidInput):
        predictor.predict_at_once(b'{"instances": [{"featuer 1": 1}]}')

    rows = b",".join([b"[1, 2]"] * 3000 + [b'[1, "x"]'])
    assert predictor.predict_at_once(b'{"instances": [%s]}' % rows) is None

    wide = predictor_of(FakeClassifier(), width=9000)
    assert wide.predict_at_once(b'{"instances": [{"feature1": 1}]}') is None


def test_the_guide_is_whole_where_it_is_short_and_has_a_limit_where_not() -> None:
    narrow = predictor_of(FakeClassifier()).guide
    assert narrow.members(["feature 1"]) == (
        {
            "expected": {"features": [{"name": "feature 1", "type": "number", "nullable": False}]},
            "example": narrow.example,
        },
        True,
    )

    wide = predictor_of(FakeClassifier(), width=9000).guide
    members, whole = wide.members([f"feature {index}" for index in range(50)])
    assert [item["name"] for item in members["expected"]["features"]] == [
        f"feature {index}" for index in range(20)
    ]
    assert "example" not in members
    assert not whole


def test_categories_beyond_number_or_size_are_left_out_of_the_guide() -> None:
    features = (
        Feature("many", "text", categories=tuple(map(str, range(1000))), example="1"),
        Feature("long", "text", categories=("x" * 20_000, "y"), example="y"),
        Feature("fine", "text", categories=("u", "v"), example="u"),
    )
    predictor = Predictor("m", 1, Schema(features, ("a", "b")), FakeClassifier(), Limits())

    members, whole = predictor.guide.members(["many", "fine"])
    shown = {item["name"]: item.get("categories") for item in members["expected"]["features"]}
    assert shown == {"many": None, "fine": ["u", "v"]}
    assert not whole

    members, whole = predictor.guide.members(["long"])
    assert "categories" not in members["expected"]["features"][0]
    assert not whole


@pytest.mark.parametrize("together", [1, 5, 30])
def test_run_and_row_times_are_separated_for_any_number_of_rows_in_the_last_run(
    together: int,
) -> None:
    latency_model = LatencyModel(0.003, 0.003 + 63e-3)

    for _ in range(50):
        for rows in (1, 7, 2):
            latency_model.learn(rows, 0.0005 + rows * 0.0002)
    for _ in range(1000):
        latency_model.learn(together, 0.0005 + together * 0.0002)

    assert latency_model.base == pytest.approx(0.0005, rel=0.15)
    assert latency_model.row == pytest.approx(0.0002, rel=0.15)


@pytest.mark.parametrize(
    ("run", "row", "most"), [(1e-3, 1e-9, 64), (1e-3, 1e-4, 40), (1e-3, 2e-3, 2), (0, 6e-3, 1)]
)
def test_rows_go_together_as_far_as_that_saves_much(run: float, row: float, most: int) -> None:
    predictor = predictor_of(ClockedClassifier(run, row))

    assert predictor.max_thread_batch in (most - 1, most)  # rounding may move the limit by one
    assert predictor.max_thread_batch >= 1


@pytest.mark.parametrize(
    ("run", "queue"), [(1e-4, 0.01), (1e-3, 0.01), (4e-3, 0.032), (6e-3, 0.048), (1.0, 0.05)]
)
def test_a_row_waits_eight_times_as_long_as_it_takes_within_bounds(
    run: float, queue: float
) -> None:
    predictor = predictor_of(ClockedClassifier(run, 1e-9))

    assert predictor.target_queue_seconds(0) == pytest.approx(queue, rel=0.01)


def test_a_batch_is_one_run_and_each_row_gets_the_reply_it_would_get_alone() -> None:
    classifier = ClockedClassifier(1e-3, 1e-6)
    predictor = predictor_of(classifier)
    rows = [(0.0, 1.0), (2.0, 1.0), (1.5, 0.0)]
    bodies = [b'{"instances": [[%f, %f]]}' % row for row in rows]
    sure = [body[:-1] + b', "probabilities": true}' for body in bodies]
    assert [predictor.decode_row(body) for body in bodies] == [(row, False) for row in rows]
    assert [predictor.decode_row(body) for body in sure] == [(row, True) for row in rows]
    alone = [predictor.predict(body)[0] for body in bodies]
    alone_sure = [predictor.predict(body)[0] for body in sure]
    classifier.sizes.clear()

    assert predictor.predict_batch(rows, False) == alone
    assert predictor.predict_batch(rows, True) == alone_sure
    assert classifier.sizes == [3, 3]


def test_a_row_that_the_classifier_does_not_take_fails_alone() -> None:
    predictor = predictor_of(ClockedClassifier(1e-3, 1e-6, broken=7.0))
    rows = [(0.0, 1.0), (-1.0, 1.0), (7.0, 0.0)]

    answers = predictor.predict_batch(rows, True)

    assert answers[0] == predictor.predict(b'{"instances": [[0, 1]], "probabilities": true}')[0]
    assert isinstance(answers[1], InvalidInput)
    assert "a number is negative" in str(answers[1])
    assert isinstance(answers[2], InvalidInput)
    assert "no finite probabilities" in str(answers[2])


def test_probabilities_that_there_are_not_are_no_matter_for_a_batch() -> None:
    class Certain(ClockedClassifier):
        has_probabilities = False

    predictor = predictor_of(Certain(1e-3, 1e-6))

    assert predictor.decode_row(BODY) == ((1.5, 2.0), False)
    assert predictor.decode_row(BODY[:-1] + b', "probabilities": true}') is None
