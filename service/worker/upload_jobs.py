"""The job that reads an upload to `/train`: the request, with its rows or the name of some."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from service.common.domain import Note, is_name, is_new_model_name
from service.common.errors import InvalidRequest, Problem, quoted
from service.processes.job_files import ROWS, TABLE
from service.processes.limits import spell_bytes
from service.schema import strict_json
from service.schema.file_options import FileOptions
from service.schema.train_request import TrainRequest
from service.worker.data.csv import read_csv
from service.worker.data.inline import read_inline
from service.worker.data.parquet import read_parquet
from service.worker.data.selection import check_options, limited, retyped
from service.worker.data.table import BUILT_IN, Limits, Table, built_in
from service.worker.learning.cost import Bounds, too_many_cells
from service.worker.learning.dry_run import dry_run
from service.worker.learning.plan import Plan, no_target, plan, unusable
from service.worker.learning.request import parse_form, parse_request
from service.worker.learning.search_request import metric_of
from service.worker.task import Task


def summary(
    name: str, table: Table, target: str | None, notes: Sequence[Note] = ()
) -> dict[str, Any]:
    """Describe a table as the record of a data set does."""
    return {
        "name": name,
        "sha256": table.sha256(),
        "rows": table.rows,
        "columns": table.summary(),
        "target": target,
        "notes": [asdict(note) for note in notes],
    }


def _read(
    folder: Path,
    spec: Mapping[str, Any],
    pointer: str,
    options: FileOptions,
    target: str | None,
) -> Table:
    """Read the uploaded rows in the format that the content type or the first bytes tell."""
    data = (folder / ROWS).read_bytes()
    if spec["media"] == "parquet" or data.startswith(b"PAR1"):
        return read_parquet(data, _limits(spec), pointer, options, target)
    return read_csv(data, _limits(spec), pointer, options, target)


def _limits(spec: Mapping[str, Any]) -> Limits:
    return Limits(rows=spec["max_rows"], columns=spec["max_columns"])


def bounds_of(spec: Mapping[str, Any]) -> Bounds:
    """Return the bounds of the training that a job is told of."""
    return Bounds.of(spec["training_seconds"], spec["training_memory"])


def inspect_training(task: Task) -> Any:
    """Read and plan a training; write the table, and return the request, or the data set it needs.

    A dry run ends here: it returns what was found, and writes nothing. `train` makes the plan
    again. It would have to be written in a format of its own, with labels of three types and three
    arrays, because nothing is pickled; making it takes about as long as reading the table.
    """
    folder, spec, bounds = task.folder, task.spec, bounds_of(task.spec)
    request, named, inline = _requested(folder, spec)
    data_name = named or spec["file_name"] or "inline"
    is_known = named is None or named in BUILT_IN or "fetched" in spec or "record" in spec
    if not is_known:
        return {"needs": named}
    known_target: str | None = spec.get("known_target")
    stored = None
    if named in BUILT_IN:
        stored, known_target = built_in(named)
    elif "fetched" in spec:
        stored = Table.from_parquet(folder / spec["fetched"])
    request, problems = _complete(request, spec, named or spec["file_name"], known_target)
    if problems and not request.dry_run:
        listed = "; ".join(f"{p.pointer.lstrip('/')} {p.message}" for p in problems)
        raise InvalidRequest(f"{listed}.", problems)
    if "record" in spec:
        _check_by_record(request, data_name, spec["record"], bounds)
        return _checked(request, None)
    at = "/file" if spec["form"] and named is None else "/dataset"
    if stored is not None:
        table = retyped(stored, request, request.target, at)
    elif spec["form"]:
        table = _read(folder, spec, at, request, request.target)
    else:
        table = read_inline(inline, _limits(spec), at, request, request.target)
    if request.dry_run:
        return {"dry_run": dry_run(table, request, problems, at, bounds)}
    planned = plan(table, request, at, bounds)
    notes = limited([*table.notes, *planned.notes])
    (folder / TABLE).write_bytes(table.to_parquet())
    return _checked(planned.request, summary(data_name, table, request.target, notes))


def planned_on_data_set(
    path: Path, name: str, request: TrainRequest, bounds: Bounds
) -> tuple[Plan, dict[str, Any]]:
    """Read a stored data set of this name and plan a training; return how it is described, too.

    It is what `inspect_training` does with a smaller one at the request. Raises the same.
    """
    table = retyped(Table.from_parquet(path), request, request.target, "/dataset")
    planned = plan(table, request, "/dataset", bounds)
    notes = limited([*table.notes, *planned.notes])
    return planned, summary(name, table, request.target, notes)


def _check_by_record(
    request: TrainRequest, name: str, record: Mapping[str, Any], bounds: Bounds
) -> None:
    """Check what the record of a data set tells, whose rows are read when the training runs."""
    if request.dry_run:
        raise InvalidRequest(
            f"A dry run reads no data set of {spell_bytes(record['bytes'])}: leave dry_run out; "
            f"what is wrong with the rows of {quoted(name)} ends the training.",
            [Problem("/dry_run", "is not for a data set of this size")],
        )
    columns = [column["name"] for column in record["columns"]]
    check_options(request, columns)
    read = [column for column in columns if column not in request.exclude]
    if request.target not in read:
        raise unusable([no_target(request.target or "", read, request.exclude)])
    if len(read) == 1:
        raise unusable([Problem("/dataset", "the data set has no column besides the target")])
    # Each feature is one value a row at least.
    if problems := too_many_cells(record["rows"], len(read) - 1, "/dataset", bounds):
        raise unusable(problems)


def _checked(request: TrainRequest, data_set: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the service needs to know of a training; its rows are described if known."""
    return {
        "request": request.model_dump_json(),
        "name": request.name,
        "model_type": request.model_type or "",
        "search": None if request.search is None else metric_of(request),
        "parallel": 1 if request.search is None else request.search.parallel or 1,
        "use": request.use,
        "refit": request.refit,
        "wait": request.wait,
        "data_set": data_set,
    }


def _requested(folder: Path, spec: Mapping[str, Any]) -> tuple[TrainRequest, str | None, Any]:
    """Return the request, and its data: the name of a set, or rows within JSON, or a file."""
    if spec["form"]:
        fields: dict[str, str] = spec["fields"]
        filled = _filled(fields, spec)
        if filled is not None:
            params = orjson.dumps(filled["params"]).decode()
            fields = {**fields, "model_type": filled["model_type"], "params": params}
        request = parse_form(fields, most_seconds=spec["training_seconds"])
        data: Any = fields.get("dataset")
        if spec["file"] == bool(data):
            message = "send either a file or the name of a data set"
            raise InvalidRequest(
                f"The form is not complete: {message}.", [Problem("/file", message)]
            )
        data = data or None
    else:
        value = strict_json.parse((folder / ROWS).read_bytes(), spec["max_depth"])
        filled = _filled(value, spec)
        request = parse_request(
            value if filled is None else {**value, **filled},
            most_seconds=spec["training_seconds"],
        )
        data = value.get("dataset")
    if not isinstance(data, str):
        return request, None, data
    if not is_name(data):
        message = "must be the name of a data set: 1 to 128 of A-Z a-z 0-9 . _ -"
        raise InvalidRequest(f"dataset {message}.", [Problem("/dataset", message)])
    return request, data, None


def _filled(sent: Any, spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the type and parameters of the model in use if the request names neither."""
    in_use = spec["in_use"]
    if not isinstance(sent, Mapping) or not in_use or not in_use["model_type"]:
        return None
    if any(sent.get(key) is not None for key in ("model_type", "params", "search")):
        return None
    return {"model_type": in_use["model_type"], "params": in_use["params"]}


def _complete(
    request: TrainRequest, spec: Mapping[str, Any], data_name: str | None, known: str | None
) -> tuple[TrainRequest, list[Problem]]:
    """Fill in what the request leaves open, from the data set or from the model in use."""
    in_use = spec["in_use"]
    problems = []
    # The name of a data set may have a dot, and that of a model may not.
    name = request.name or (data_name or "").replace(".", "-") or (in_use or {}).get("name")
    if not name or not is_new_model_name(name):
        problems.append(Problem("/name", "is missing: the model needs a name"))
    target = known if request.target is None else request.target.strip()
    if target is None:
        problems.append(Problem("/target", "is missing: name the column to predict"))
    if not request.type_names:
        message = "is missing: no model is in use whose type could be taken"
        problems.append(Problem("/model_type", message))
    wait = spec["wait"] if request.wait is None else request.wait
    use = spec["use"] if request.use is None else request.use
    changes = {"name": name, "target": target, "use": use, "wait": wait}
    return request.model_copy(update=changes), problems
