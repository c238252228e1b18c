"""The job that adds rows whose truth is known to those of a data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.common.errors import BodyTooLarge, InvalidRequest, Problem, quoted
from service.processes.job_files import ROWS, TABLE
from service.schema import strict_json
from service.schema.contract import FeatureType, Schema, decode
from service.schema.labels import Labels
from service.worker.data.canonical import CanonicalFile, CanonicalWriter
from service.worker.data.outcome_rows import table_of_file
from service.worker.data.table import MOST_PROBLEMS, Column, Limits
from service.worker.data_set_job import summary_of_file
from service.worker.task import Task


def append(task: Task) -> Any:
    """Write the rows of a data set with the uploaded ones behind them, and describe the whole.

    The uploaded rows were accepted by the schema before. Raises InvalidRequest where their columns
    are not those of the data set, and BodyTooLarge where there would be too many rows. The stored
    rows are copied some at a time, as there may be more than memory holds.
    """
    folder, spec = task.folder, task.spec
    schema = decode(spec["schema"].encode())
    limits = Limits(spec["max_rows"], spec["max_columns"])
    if spec["media"] == "json":
        sent = strict_json.parse((folder / ROWS).read_bytes(), spec["max_depth"])
        added = _of_json(sent["instances"], sent["labels"], schema)
    else:
        added = table_of_file(folder / ROWS, spec["media"], schema, limits, spec["encoding"])
    with CanonicalFile(folder / spec["base"]) as stored:
        types = stored.types
        _check_columns(types, added, spec["name"])
        rows = stored.rows + len(added[schema.target].values)
        if rows > spec["most_rows"]:
            raise BodyTooLarge("The number of rows", spec["most_rows"], "rows")
        with CanonicalWriter(folder / TABLE, types) as writer:
            for arrays in stored.groups():
                writer.write(arrays)
            writer.write([added[name].arrow() for name in types])
            writer.finish(stored.reading)
        notes = stored.reading.notes
    return summary_of_file(folder / TABLE, writer, spec["name"], spec["target"], notes)


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


def _check_columns(
    stored: Mapping[str, FeatureType], added: Mapping[str, Column], name: str
) -> None:
    problems = [f"has no column {quoted(column)}" for column in added if column not in stored]
    problems += [
        f"has the column {quoted(column)}, and these rows do not"
        for column in stored
        if column not in added
    ]
    problems += [
        f"has a {stored[column]} in the column {quoted(column)}, and these rows a {one.type}"
        for column, one in added.items()
        if column in stored and stored[column] != one.type
    ]
    if problems:
        listed = [Problem("/append_to", problem) for problem in problems[:MOST_PROBLEMS]]
        raise InvalidRequest(
            f"Data set {quoted(name)} {problems[0]}; nothing was counted or added.", listed
        )
