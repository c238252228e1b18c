"""Columns and matrices become the same matrix, and the same errors, as instances do."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.common.errors import InvalidInput
from service.schema.contract import Feature, Schema
from service.schema.decoder import Decoder, Limits

MIXED = Schema(
    (
        Feature("age", "number", nullable=True, low=0, high=1e6),
        Feature("city", "text", categories=("Lima", "Rome"), nullable=True, missing_code=1),
        Feature("paid", "boolean"),
        Feature("height", "number", low=-1e30, high=1e30),
    ),
    ("a", "b"),
)
IGNORING = Schema(
    (Feature("city", "text", categories=("Lima",)),), ("a", "b"), unknown_categories="ignore"
)
NUMBERS = Schema(tuple(Feature(f"x{i}", "number", high=100) for i in range(3)), ("a", "b"))


def decoder(schema: Schema) -> Decoder:
    return Decoder(schema, Limits())


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-1e31, 1e31),
    st.sampled_from(["Lima", "x"]),
)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(0, 10), st.none(), CELLS),
            st.one_of(st.sampled_from(["Lima", "Rome"]), CELLS),
            st.one_of(st.booleans(), CELLS),
            st.one_of(st.floats(0, 10), CELLS),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_columns_are_taken_and_refused_exactly_as_the_same_rows_are_by_predict(
    rows: list[tuple[Any, ...]],
) -> None:
    names = [feature.name for feature in MIXED.features]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    body = json.dumps({"instances": [dict(zip(names, row, strict=True)) for row in rows]}).encode()

    assert told(lambda: decoder(MIXED).columns.of_columns(columns, len(rows))) == told(
        lambda: decoder(MIXED).decode(body)[0]
    )


def told(act: Any) -> Any:
    """Return the matrix, or what is wrong, in a form that can be compared."""
    try:
        return str(act().tolist())
    except InvalidInput as error:
        return str(error), error.problems


def test_a_matrix_of_numbers_is_taken_as_it_is() -> None:
    values = np.array([[1, 2, 3], [4, 5, 6]], np.int8)

    matrix = decoder(NUMBERS).columns.of_matrix(values)

    assert matrix.dtype == np.float64
    assert matrix.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[1.0, np.nan, 3.0]]), "'x1' must be a number, not null"),
        (np.array([[1.0, 101.0, 3.0]]), "'x1' is out of the range"),
        (np.array([[1.0, np.inf, 3.0]]), "'x1' is out of the range"),
        (np.array([[1.0, 2.0]]), "has 2 values for 3 features"),
        (np.array([[True, False, True]]), "'0' must be a number, not a boolean"),
    ],
)
def test_a_matrix_is_refused_as_arrays_are(values: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        decoder(NUMBERS).columns.of_matrix(values)


def test_missing_and_unknown_columns_are_told_by_name() -> None:
    with pytest.raises(InvalidInput, match="'x2' is missing"):
        decoder(NUMBERS).columns.of_columns({"x0": [1], "x1": [1]}, 1)
    columns = {"x0": [1], "x1": [1], "x2": [1], "X2": [1]}
    with pytest.raises(InvalidInput, match="'X2' is not a feature"):
        decoder(NUMBERS).columns.of_columns(columns, 1)
    with pytest.raises(InvalidInput, match="'x0' is missing"):
        decoder(NUMBERS).columns.of_columns({}, 2)


def test_an_unknown_category_is_no_missing_value_where_categories_are_ignored() -> None:
    columns = decoder(IGNORING).columns

    assert columns.of_columns({"city": ["Lima", "Oslo"]}, 2).tolist() == [[0.0], [-1.0]]
    with pytest.raises(InvalidInput, match="must be a text, not null"):
        columns.of_columns({"city": ["Lima", None]}, 2)
