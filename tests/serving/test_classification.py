"""Labels and probabilities of rows: dividing many rows into parts does not change the result."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.common.errors import InvalidInput
from service.serving.classification import Classification
from service.serving.core_pool import CorePool
from tests.support.classifiers import ClockedClassifier

ROWS = 10_000


def inference_of(classifier: ClockedClassifier) -> Classification:
    classifier.in_other_process = False
    return Classification("Model 'm' version 1", classifier, CorePool(2))


def rows_of(count: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(0, 2, (count, 3))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("count", [1, 511, 512, 4097, ROWS])
def test_many_rows_get_the_answers_that_they_get_at_once(count: int, order: str) -> None:
    classifier = ClockedClassifier(0, 0)
    matrix = np.asarray(rows_of(count), order="F" if order == "F" else "C")
    expected = classifier.labels_and_probabilities(matrix)
    classification = inference_of(classifier)

    labels, nothing = classification.classify(matrix, False)
    sure, probabilities = classification.classify(matrix, True)

    assert nothing is None
    assert probabilities is not None
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_array_equal(sure, expected[0])
    np.testing.assert_array_equal(probabilities, expected[1])


def test_parts_are_bounded_and_only_many_rows_are_divided() -> None:
    classifier = ClockedClassifier(0, 0)
    classification = inference_of(classifier)

    for count in (1, 511, 512, ROWS):
        classification.classify(rows_of(count), False)

    assert classifier.sizes[:2] == [1, 511]
    assert sorted(classifier.sizes[2:4]) == [256, 256]
    assert sorted(classifier.sizes[4:]) == [2500, 2500, 2500, 2500]
    assert [classification.is_shared(count) for count in (1, 511, 512)] == [False, False, True]


def test_another_process_gets_as_large_a_part_as_there_may_be() -> None:
    classifier = ClockedClassifier(0, 0)
    classification = inference_of(classifier)
    classifier.in_other_process = True

    classification.classify(rows_of(4096), False)

    assert classifier.sizes == [4096]


def test_rows_without_finite_probabilities_are_named_by_their_place_in_the_request() -> None:
    classification = inference_of(ClockedClassifier(0, 0, broken=7.0))
    matrix = rows_of(ROWS)
    matrix[[4100, 9000]] = 7.0

    with pytest.raises(InvalidInput, match=r"for 2 of 10000 .* /instances/4100: ") as caught:
        classification.classify(matrix, True)

    assert [problem.pointer for problem in caught.value.problems] == [
        "/instances/4100",
        "/instances/9000",
    ]


def test_a_label_of_a_huge_number_is_given_only_where_its_probabilities_are_finite() -> None:
    matrix = rows_of(ROWS)
    matrix[9000] = 1e60
    classification = inference_of(ClockedClassifier(0, 0))
    assert classification.classify(matrix, False)[1] is None

    broken = inference_of(ClockedClassifier(0, 0, broken=1e60))
    with pytest.raises(InvalidInput, match="for 1 of 10000 instances"):
        broken.classify(matrix, False)


def test_what_a_classifier_refuses_in_any_part_is_told() -> None:
    matrix = rows_of(ROWS)
    matrix[9999] = -1

    with pytest.raises(InvalidInput, match="cannot answer this: a number is negative"):
        inference_of(ClockedClassifier(0, 0)).classify(matrix, False)
