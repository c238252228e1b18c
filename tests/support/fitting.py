"""Small tables and trainings on them, for tests of planning and fitting."""

from typing import Any

import numpy as np
import pytest

from service.common.errors import UnusableData
from service.schema.train_request import TrainRequest
from service.worker.data.table import Column, Table
from service.worker.learning.fitting import Fitted, fit
from service.worker.learning.plan import plan


def texts(values: list[Any]) -> Column:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return Column("text", column)


def numbers(values: Any) -> Column:
    return Column("number", np.asarray(values, dtype=np.float64))


def small(rows: int = 60, **columns: Column) -> Table:
    """Make two balanced classes that are separable by "x"."""
    half = np.arange(rows) % 2
    base = {
        "x": numbers(half + np.linspace(0, 0.5, rows)),
        "y": texts(["no" if h else "yes" for h in half]),
    }
    return Table(base | columns)


def request(**keys: Any) -> TrainRequest:
    return TrainRequest(**{"model_type": "LogisticRegression", "target": "y", **keys})


def trained(table: Table, **keys: Any) -> Fitted:
    return fit(plan(table, request(**keys)))


def reason(table: Table, pointer: str, **keys: Any) -> str:
    with pytest.raises(UnusableData) as caught:
        plan(table, request(**keys))
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
    assert str(caught.value).endswith((".", "?"))
    return caught.value.problems[0].message


def mixed(rows: int = 200) -> Table:
    random = np.random.default_rng(1)
    half = np.arange(rows) % 2
    gaps = random.normal(size=rows) + half
    gaps[::7] = np.nan
    flags = (random.random(rows) < 0.7).astype(float)
    return small(
        rows,
        gaps=numbers(gaps),
        flag=Column("boolean", flags),
        unsure=Column("boolean", np.where(np.arange(rows) % 9 == 0, np.nan, flags)),
        word=texts([None if i % 11 == 0 else "abca"[i % 4] for i in range(rows)]),
        other=texts(["p q" if i % 3 else "r" for i in range(rows)]),
    )
