"""What a training would see of a file, without the training."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from service.common.domain import Note
from service.common.errors import Problem, UnusableData
from service.schema.train_request import TrainRequest
from service.worker.data.selection import limited
from service.worker.data.table import Column, Table
from service.worker.learning import column_checks
from service.worker.learning.cost import Bounds
from service.worker.learning.plan import plan

_STAND_IN = "DecisionTreeClassifier"
"""The classifier for which the rows are checked where the request names none."""


def dry_run(
    table: Table, request: TrainRequest, problems: Sequence[Problem], at: str, bounds: Bounds
) -> dict[str, Any]:
    """Return rows, columns, classes, notes, and every reason why a training would be refused.

    `problems` are those of the request itself; `at` is the pointer of the data set.
    """
    errors = list(problems)
    notes: Sequence[Note] = tuple(column_checks.marker_notes(table, request.target))
    if request.target is not None:
        known = request
        if not request.type_names:
            known = request.model_copy(update={"model_type": _STAND_IN})
        try:
            notes = plan(table, known, at, bounds).notes
        except UnusableData as error:
            errors += error.problems
    columns = [
        _described(name, column, "target" if name == request.target else "feature")
        for name, column in table.columns.items()
    ]
    columns += [_described(name, column, "excluded") for name, column in table.left_out.items()]
    return {
        "rows": table.rows,
        "columns": columns,
        "classes": _classes(table, request.target),
        "notes": [asdict(note) for note in limited([*table.notes, *notes])],
        "errors": [asdict(error) for error in errors],
    }


def _described(name: str, column: Column, role: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": column.type,
        "missing": int(np.count_nonzero(column.missing)),
        "distinct": int(pd.unique(column.values[~column.missing]).size),
        "role": role,
    }


def _classes(table: Table, target: str | None) -> list[dict[str, Any]]:
    if target not in table.columns:
        return []
    labels, codes, _ = column_checks.classes_of(target, table.columns[target], table.missing_texts)
    counts = np.bincount(codes, minlength=len(labels)).tolist()
    return [{"label": label, "rows": n} for label, n in zip(labels, counts, strict=True)]
