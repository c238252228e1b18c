"""A convention, not the protocol: columns of numbers may be one matrix. Needs `--tabular`."""

import math
from typing import Any

import pytest

from conformance.target import Infer, Model, agree, answered, refused
from conformance.tensors import NUMBERS, Tensor

pytestmark = pytest.mark.usefixtures("tabular")


@pytest.fixture
def columns(model: Model) -> list[Tensor]:
    """Two rows, one tensor a column; skips where a column is no number."""
    inputs = model.inputs(2)
    if any(t.datatype not in NUMBERS or math.prod(t.shape) != 2 for t in inputs):
        pytest.skip("the model has columns that are no numbers, or one matrix already")
    return inputs


def _matrix(columns: list[Tensor], datatype: str, width: int | None = None) -> dict[str, Any]:
    chosen = columns[:width]
    data = [column.data[row] for row in range(2) for column in chosen]
    return Tensor("any-name", datatype, [2, len(chosen)], data).as_json()


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
def test_a_matrix_gets_the_answer_of_its_columns(
    infer: Infer, model: Model, columns: list[Tensor], datatype: str
) -> None:
    expected = answered(infer.json(model.request([c.as_json() for c in columns])), model)
    got = answered(infer.json({"inputs": [_matrix(columns, datatype)]}), model)

    assert set(got) == set(expected)
    for name, (_, shape, elements) in got.items():
        assert shape == expected[name][1]
        agree(elements, expected[name][2], 1e-4)


def test_columns_may_be_of_one_dimension(infer: Infer, model: Model, columns: list[Tensor]) -> None:
    expected = answered(infer.json(model.request([c.as_json() for c in columns])), model)
    lists = [column.as_json(shape=[2]) for column in columns]

    assert answered(infer.json(model.request(lists)), model) == expected


def test_columns_say_that_they_are_a_frame(
    infer: Infer, model: Model, columns: list[Tensor]
) -> None:
    request = {"inputs": [c.as_json() for c in columns], "parameters": {"content_type": "pd"}}

    assert answered(infer.json(request), model)


def test_a_matrix_of_another_width_is_refused(infer: Infer, columns: list[Tensor]) -> None:
    if len(columns) == 1:
        pytest.skip("the model has one column")

    refused(infer.json({"inputs": [_matrix(columns, "FP64", len(columns) - 1)]}))
