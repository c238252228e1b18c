"""The jobs for a file of rows to predict: read it into a matrix, and write answers as Arrow."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.common.domain import RowsMedia, spelling
from service.common.errors import InvalidInput, UnusableData
from service.processes.job_files import (
    HELD_OUT,
    LABELS,
    MATRIX,
    PROBABILITIES,
    REFUSED,
    ROWS,
    TRUTH,
    save,
)
from service.schema.contract import Schema, decode
from service.worker.data import outcome_rows
from service.worker.data.matrix import matrix_of, read_matrix
from service.worker.data.table import Limits, Table
from service.worker.task import Task

_ANSWERS = "answers.arrows"


def read(task: Task) -> Any:
    """Write the matrix of the uploaded rows; raises InvalidInput with what is wrong with them."""
    with _told_as_input():
        matrix = read_matrix(*_uploaded(task), task.spec["drop_others"])
    save(task.folder / MATRIX, matrix)
    return {"rows": len(matrix)}


def read_outcomes(task: Task) -> Any:
    """Write the matrix of the uploaded rows and their true classes; raises as `read` does."""
    with _told_as_input():
        matrix, truth = outcome_rows.read_outcomes(*_uploaded(task))
    save(task.folder / MATRIX, matrix)
    save(task.folder / TRUTH, truth)
    return {"rows": len(matrix)}


def _uploaded(task: Task) -> tuple[Path, RowsMedia, Schema, Limits, str]:
    """Return where the uploaded rows are, and how they are read."""
    spec = task.spec
    limits = Limits(rows=spec["max_rows"], columns=spec["max_columns"])
    schema = decode(spec["schema"].encode())
    return task.folder / ROWS, spec["media"], schema, limits, spec["encoding"]


@contextmanager
def _told_as_input() -> Iterator[None]:
    """Raise InvalidInput where rows cannot be read at all."""
    try:
        yield
    except UnusableData as error:
        raise InvalidInput(str(error), list(error.problems)) from error


def read_held_out(task: Task) -> Any:
    """Write the matrix of the rows that a training held out, as another version reads them.

    A row that its schema refuses is marked as such.
    """
    folder = task.folder
    table = Table.from_parquet(folder / HELD_OUT)
    matrix, refused = matrix_of(table, decode(task.spec["schema"].encode()))
    save(folder / MATRIX, matrix)
    save(folder / REFUSED, refused)
    return {"rows": len(matrix)}


def write_arrow(task: Task) -> Any:
    """Write the answers as an Arrow stream: `prediction`, and a column for each class."""
    folder, spec = task.folder, task.spec
    classes = spec["classes"]
    labels = np.load(folder / LABELS, allow_pickle=False)
    columns = {"prediction": pa.array(classes).take(pa.array(labels))}
    if (folder / PROBABILITIES).exists():
        rows = np.load(folder / PROBABILITIES, allow_pickle=False)
        for index, label in enumerate(classes):
            columns[f"probability of {spelling(label)}"] = pa.array(rows[:, index])
    table = pa.table(columns)
    with (
        pa.OSFile(str(folder / _ANSWERS), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    return {"file": _ANSWERS}
