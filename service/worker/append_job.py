"""The job that adds rows whose truth is known to those of a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.common.errors import InvalidRequest, Problem, quoted
from service.processes.job_files import ROWS, TABLE
from service.schema import strict_json
from service.schema.contract import Schema, decode
from service.schema.labels import Labels
from service.worker.data.outcome_rows import table_of_file
from service.worker.data.table import MOST_PROBLEMS, Column, Limits, Table
from service.worker.task import Task
from service.worker.upload_jobs import summary


def append(task: Task) -> Any:
    """Write the rows of a data set with the uploaded ones behind them, and describe the whole.

    The uploaded rows were accepted by the schema before. Raises InvalidRequest where their columns
    are not those of the data set, and BodyTooLarge where there would be too many rows.
    """
    folder, spec = task.folder, task.spec
    schema = decode(spec["schema"].encode())
    limits = Limits(rows=spec["max_rows"], columns=spec["max_columns"])
    stored = Table.from_parquet((folder / spec["base"]).read_bytes())
    if spec["media"] == "json":
        sent = strict_json.parse((folder / ROWS).read_bytes(), spec["max_depth"])
        added = _of_json(sent["instances"], sent["labels"], schema)
    else:
        added = table_of_file(folder / ROWS, spec["media"], schema, limits, spec["encoding"])
    _check_columns(stored.columns, added, spec["name"])
    columns = {
        name: replace(column, values=np.concatenate((column.values, added[name].values)))
        for name, column in stored.columns.items()
    }
    table = replace(stored, columns=columns)
    limits.check(table.rows, len(columns))
    (folder / TABLE).write_bytes(table.to_parquet())
    return summary(spec["name"], table, spec["target"], stored.notes)


def _of_json(
    instances: Sequence[Any], truth: Sequence[Any], schema: Schema
) -> Mapping[str, Column]:
    columns: dict[str, Column] = {}
    for place, feature in enumerate(schema.features):
        values = [
            instance[place] if isinstance(instance, list) else instance[feature.name]
            for instance in instances
        ]
        columns[feature.name] = Column(feature.type, _values(values, feature.type == "text"))
    labels = Labels(schema.classes)
    columns[schema.target] = Column(labels.type, _values(truth, labels.type == "text"))
    return columns


def _values(values: Sequence[Any], are_texts: bool) -> NDArray[Any]:
    if are_texts:
        texts = np.empty(len(values), dtype=object)
        texts[:] = values
        return texts
    return np.array([np.nan if value is None else float(value) for value in values])


def _check_columns(stored: Mapping[str, Column], added: Mapping[str, Column], name: str) -> None:
    problems = [f"has no column {quoted(column)}" for column in added if column not in stored]
    problems += [
        f"has the column {quoted(column)}, and these rows do not"
        for column in stored
        if column not in added
    ]
    problems += [
        f"has a {stored[column].type} in the column {quoted(column)}, and these rows a {one.type}"
        for column, one in added.items()
        if column in stored and stored[column].type != one.type
    ]
    if problems:
        listed = [Problem("/append_to", problem) for problem in problems[:MOST_PROBLEMS]]
        raise InvalidRequest(
            f"Data set {quoted(name)} {problems[0]}; nothing was counted or added.", listed
        )
