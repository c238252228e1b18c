"""A missing text stays missing in the matrix, and the classifier gets what training put there."""

import math

import numpy as np

from service.schema.contract import Feature
from service.schema.missing_texts import MissingTexts

FEATURES = (
    Feature("age", "number", nullable=True),
    Feature("city", "text", nullable=True, categories=("Lima", "Rome"), missing_code=1),
    Feature("sex", "text", categories=("f", "m")),
    Feature("word", "text", nullable=True, categories=("a",), missing_code=-1),
)


def test_missing_texts_are_replaced_and_missing_numbers_are_not() -> None:
    matrix = np.array([[math.nan, math.nan, 0.0, math.nan], [1.0, 0.0, 1.0, 0.0]])

    filled = MissingTexts(FEATURES).filled(matrix)

    np.testing.assert_array_equal(filled, [[math.nan, 1.0, 0.0, -1.0], [1.0, 0.0, 1.0, 0.0]])
    assert np.isnan(matrix[0, 1]), "the matrix that was decoded is left as it is"


def test_a_matrix_without_a_missing_text_is_not_copied() -> None:
    matrix = np.array([[math.nan, 0.0, 0.0, 0.0]])

    assert MissingTexts(FEATURES).filled(matrix) is matrix


def test_a_schema_of_which_no_text_may_be_missing_has_nothing_to_fill() -> None:
    assert not MissingTexts((FEATURES[0], FEATURES[2]))
