"""The jobs that read an upload: a data set, or a training with its rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from service.common.did_you_mean import did_you_mean
from service.common.domain import is_name, is_new_model_name
from service.common.errors import InvalidRequest, Problem
from service.processes.job_files import ROWS, TABLE
from service.schema import strict_json
from service.schema.train_request import TrainRequest
from service.worker.data.csv import read_csv
from service.worker.data.inline import read_inline
from service.worker.data.parquet import read_parquet
from service.worker.data.table import BUILT_IN, Limits, Table, built_in
from service.worker.learning.plan import plan
from service.worker.learning.request import parse_form, parse_request
from service.worker.task import Task


def summary(name: str, table: Table, target: str | None) -> dict[str, Any]:
    """Describe a table as the record of a data set does."""
    return {
        "name": name,
        "sha256": table.sha256(),
        "rows": table.rows,
        "columns": table.summary(),
        "target": target,
    }


def _read(folder: Path, spec: Mapping[str, Any], pointer: str) -> Table:
    """Read the uploaded rows in the format that the content type or the first bytes tell."""
    data = (folder / ROWS).read_bytes()
    if spec["media"] == "parquet" or data.startswith(b"PAR1"):
        return read_parquet(data, _limits(spec), pointer)
    return read_csv(data, _limits(spec), pointer)


def _limits(spec: Mapping[str, Any]) -> Limits:
    return Limits(rows=spec["max_rows"], columns=spec["max_columns"])


def read_data_set(task: Task) -> Any:
    """Read an upload to `/datasets`, write the table in its canonical form, and describe it."""
    folder, spec = task.folder, task.spec
    name = spec["name"]
    if name is None or not is_name(name):
        message = "must be 1 to 128 of A-Z a-z 0-9 . _ -" if name else "is missing: send ?name=…"
        raise InvalidRequest(f"The data set's name {message}.", [Problem("/name", message)])
    if spec["media"] == "json":
        value = strict_json.parse((folder / ROWS).read_bytes(), spec["max_depth"])
        table = read_inline(value, _limits(spec))
    else:
        table = _read(folder, spec, "/file" if spec["form"] else "")
    target = spec["target"]
    if target is not None and target not in table.columns:
        hint = did_you_mean(target, table.columns) or "."
        message = f"is not a column of this data set{hint}"
        raise InvalidRequest(f"The target {message}", [Problem("/target", message)])
    (folder / TABLE).write_bytes(table.to_parquet())
    return summary(name, table, target)


def inspect_training(task: Task) -> Any:
    """Read and plan a training; write the table, and return the request, or the data set it needs.

    `train` makes the plan again. It would have to be written in a format of its own, with labels of
    three types and three arrays, because nothing is pickled; making it takes about as long as
    reading the table.
    """
    folder, spec = task.folder, task.spec
    request, named, table = _requested(folder, spec)
    known_target: str | None = spec.get("known_target")
    data_name = named or spec["file_name"] or "inline"
    if table is None and named in BUILT_IN:
        table, known_target = built_in(named)
    elif table is None and "fetched" in spec:
        table = Table.from_parquet((folder / spec["fetched"]).read_bytes())
    elif table is None:
        return {"needs": named}
    request = _complete(request, spec, named or spec["file_name"], known_target)
    planned = plan(table, request, "/file" if spec["form"] and not named else "/dataset")
    (folder / TABLE).write_bytes(table.to_parquet())
    return {
        "request": planned.request.model_dump_json(),
        "name": request.name,
        "model_type": request.model_type,
        "use": request.use,
        "wait": request.wait,
        "data_set": summary(data_name, table, request.target),
    }


def _requested(
    folder: Path, spec: Mapping[str, Any]
) -> tuple[TrainRequest, str | None, Table | None]:
    """Return the request, and its data: a name, or a table."""
    if spec["form"]:
        fields: dict[str, str] = spec["fields"]
        filled = _filled(fields, spec)
        if filled is not None:
            params = orjson.dumps(filled["params"]).decode()
            fields = {**fields, "model_type": filled["model_type"], "params": params}
        request, data = parse_form(fields), fields.get("dataset")
        if spec["file"] == bool(data):
            message = "send either a file or the name of a data set"
            raise InvalidRequest(
                f"The form is not complete: {message}.", [Problem("/file", message)]
            )
        table = None if data else _read(folder, spec, "/file")
    else:
        value = strict_json.parse((folder / ROWS).read_bytes(), spec["max_depth"])
        filled = _filled(value, spec)
        request = parse_request(value if filled is None else {**value, **filled})
        data = value.get("dataset")
        table = None if isinstance(data, str) else read_inline(data, _limits(spec), "/dataset")
    if data is not None and isinstance(data, str) and not is_name(data):
        message = "must be the name of a data set: 1 to 128 of A-Z a-z 0-9 . _ -"
        raise InvalidRequest(f"dataset {message}.", [Problem("/dataset", message)])
    return request, data if isinstance(data, str) else None, table


def _filled(sent: Any, spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the type and parameters of the model in use if the request names neither."""
    in_use = spec["in_use"]
    if not isinstance(sent, Mapping) or not in_use or not in_use["model_type"]:
        return None
    if any(sent.get(key) is not None for key in ("model_type", "params", "search")):
        return None
    return {"model_type": in_use["model_type"], "params": in_use["params"]}


def _complete(
    request: TrainRequest, spec: Mapping[str, Any], data_name: str | None, target: str | None
) -> TrainRequest:
    """Fill in what the request leaves open, from the data set or from the model in use."""
    in_use = spec["in_use"]
    problems = []
    # The name of a data set may have a dot, and that of a model may not.
    name = request.name or (data_name or "").replace(".", "-") or (in_use or {}).get("name")
    if not name or not is_new_model_name(name):
        problems.append(Problem("/name", "is missing: the model needs a name"))
    if request.target is None and target is None:
        problems.append(Problem("/target", "is missing: name the column to predict"))
    if request.model_type is None:
        message = "is missing: no model is in use whose type could be taken"
        problems.append(Problem("/model_type", message))
    if problems:
        listed = "; ".join(f"{p.pointer.lstrip('/')} {p.message}" for p in problems)
        raise InvalidRequest(f"{listed}.", problems)
    wait = spec["wait"] if request.wait is None else request.wait
    use = spec["use"] if request.use is None else request.use
    changes = {"name": name, "target": request.target or target, "use": use, "wait": wait}
    return request.model_copy(update=changes)
