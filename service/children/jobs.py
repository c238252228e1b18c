"""What runs in a child process: each job reads its folder and leaves its result there."""

import hashlib
import io
import re
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
from skops.io import dumps

from service import classifiers, strict_json
from service.errors import InvalidRequest, Problem, ServiceError, clip
from service.fit import pictures
from service.fit.fit import Fitted, fit
from service.fit.plan import plan
from service.fit.request import TrainRequest, parse_form, parse_request
from service.foreign import adopt
from service.graphs import NotConvertible, convert
from service.graphs.parity import Parity, check, made_up_rows
from service.model import LOG_OF_USE, NAME
from service.preparation import Preparation
from service.runtime import Classifier, NativeClassifier, OnnxClassifier
from service.schema import encode
from service.suggest import did_you_mean
from service.tables import BUILT_IN, Column, Limits, Table, built_in
from service.tables.csv import read_csv
from service.tables.inline import read_inline
from service.tables.parquet import read_parquet

ORDER = "order.json"
TABLE = "table.parquet"
_REQUEST = "request.json"


def run(kind: str, folder: Path) -> None:
    """Do a job; what goes wrong in a way that a client can mend becomes `error.json`."""
    try:
        result = JOBS[kind](folder, orjson.loads((folder / ORDER).read_bytes()))
    except ServiceError as error:
        problems = getattr(error, "problems", ())
        _write(
            folder / "error.json",
            {
                "kind": type(error).__name__,
                "detail": str(error),
                "problems": [asdict(problem) for problem in problems],
            },
        )
    except MemoryError:
        detail = "It needs more memory than the limit allows."
        _write(folder / "error.json", {"kind": "JobFailed", "detail": detail})
    except OSError as error:
        detail = f"The disk does not take it: {error.strerror}."
        _write(folder / "error.json", {"kind": "JobFailed", "detail": detail})
    except Exception:
        # The edge of the process: whoever waits learns that there was a defect, the log which.
        traceback.print_exc()
        raise
    else:
        _write(folder / "result.json", result)


def warm() -> None:
    """Do a small training and keep nothing, so that what is imported late is there for all jobs.

    Nothing of Arrow is read or written here: its threads would make a fork unsafe.
    """
    values = np.arange(40.0)
    table = Table(
        {"x": Column("number", values), "y": Column("boolean", (values % 2).astype(np.float64))}
    )
    request = TrainRequest(name="warm", model_type="LogisticRegression", target="y")
    fitted = fit(plan(table, request))
    graph = convert(fitted.pipeline, ["x"])
    with tempfile.TemporaryDirectory() as folder:
        _pack(Path(folder), fitted, ["x"], graph)
    pictures.pictures(fitted)


def _write(path: Path, value: Any) -> None:
    arriving = path.with_suffix(".part")
    arriving.write_bytes(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
    arriving.rename(path)


def _model_types(_folder: Path, _order: Mapping[str, Any]) -> Any:
    return [kind.describe() for kind in classifiers.catalogue()]


def _built_ins(_folder: Path, _order: Mapping[str, Any]) -> Any:
    return [_summary(name, *built_in(name)) for name in BUILT_IN]


def _summary(name: str, table: Table, target: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "sha256": table.sha256(),
        "rows": table.rows,
        "columns": table.summary(),
        "target": target,
    }


def _read(folder: Path, order: Mapping[str, Any], at: str) -> Table:
    """Read the rows that were uploaded, by what the content type or the first bytes say."""
    limits = Limits(rows=order["max_rows"], columns=order["max_columns"])
    data = (folder / "rows").read_bytes()
    if order["media"] == "parquet" or data.startswith(b"PAR1"):
        return read_parquet(data, limits, at)
    return read_csv(data, limits, at)


def _data_set(folder: Path, order: Mapping[str, Any]) -> Any:
    """Read an upload to `/datasets`; leaves the table in its canonical form."""
    name = order["name"]
    if name is None or not re.fullmatch(NAME, name):
        message = "must be 1 to 128 of A-Z a-z 0-9 . _ -" if name else "is missing: send ?name=…"
        raise InvalidRequest(f"The data set's name {message}.", [Problem("/name", message)])
    if order["media"] == "json":
        value = strict_json.parse((folder / "rows").read_bytes(), order["max_depth"])
        table = read_inline(value, Limits(rows=order["max_rows"], columns=order["max_columns"]))
    else:
        table = _read(folder, order, "/file" if order["form"] else "")
    target = order["target"]
    if target is not None and target not in table.columns:
        hint = did_you_mean(target, table.columns) or "."
        message = f"is no column of this data set{hint}"
        raise InvalidRequest(f"The target {message}", [Problem("/target", message)])
    (folder / TABLE).write_bytes(table.to_parquet())
    return _summary(name, table, target)


def _inspect(folder: Path, order: Mapping[str, Any]) -> Any:
    """Read and plan a training; leaves what `train` needs, or says which data set it needs."""
    request, named, table = _requested(folder, order)
    known_target: str | None = order.get("known_target")
    data_name = named or order["file_name"] or "inline"
    if table is None and named in BUILT_IN:
        table, known_target = built_in(named)
    elif table is None and "fetched" in order:
        table = Table.from_parquet((folder / order["fetched"]).read_bytes())
    elif table is None:
        return {"needs": named}
    request = _complete(request, order, named or order["file_name"], known_target)
    planned = plan(table, request, "/file" if order["form"] and not named else "/dataset")
    (folder / TABLE).write_bytes(table.to_parquet())
    (folder / _REQUEST).write_bytes(msgspec.json.encode(planned.request))
    return {
        "name": request.name,
        "model_type": request.model_type,
        "params": dict(request.params),
        "use": request.use,
        "wait": request.wait,
        "data_set": _summary(data_name, table, request.target),
    }


def _requested(
    folder: Path, order: Mapping[str, Any]
) -> tuple[TrainRequest, str | None, Table | None]:
    """Give the request, and its data: a name, or a table."""
    limits = Limits(rows=order["max_rows"], columns=order["max_columns"])
    if order["form"]:
        request, data = parse_form(order["fields"]), order["fields"].get("dataset")
        if order["file"] == bool(data):
            message = "send either a file or the name of a data set"
            raise InvalidRequest(
                f"The form is not complete: {message}.", [Problem("/file", message)]
            )
        table = None if data else _read(folder, order, "/file")
    else:
        value = strict_json.parse((folder / "rows").read_bytes(), order["max_depth"])
        request = parse_request(value)
        data = value.get("dataset")
        table = None if isinstance(data, str) else read_inline(data, limits, "/dataset")
    if data is not None and isinstance(data, str) and not re.fullmatch(NAME, data):
        message = "must be the name of a data set: 1 to 128 of A-Z a-z 0-9 . _ -"
        raise InvalidRequest(f"dataset {message}.", [Problem("/dataset", message)])
    return request, data if isinstance(data, str) else None, table


def _complete(
    request: TrainRequest, order: Mapping[str, Any], data_name: str | None, target: str | None
) -> TrainRequest:
    """Fill in what the request leaves open: from the data set, or from the model in use."""
    in_use = order["in_use"]
    problems = []
    name = request.name or data_name or (in_use or {}).get("name")
    if not name or not re.fullmatch(NAME, name) or name == LOG_OF_USE:
        problems.append(Problem("/name", "is missing: the model needs a name"))
    if request.target is None and target is None:
        problems.append(Problem("/target", "is missing: name the column to predict"))
    if request.model_type is None:
        if in_use is None or not in_use["model_type"]:
            message = "is missing: no model is in use whose type could be taken"
            problems.append(Problem("/model_type", message))
        else:
            request = replace(request, model_type=in_use["model_type"], params=in_use["params"])
    if problems:
        told = "; ".join(f"{p.pointer.lstrip('/')} {p.message}" for p in problems)
        raise InvalidRequest(f"{told}.", problems)
    wait = order["wait"] if request.wait is None else request.wait
    use = True if request.use is None else request.use
    return replace(request, name=name, target=request.target or target, use=use, wait=wait)


def _train(folder: Path, _order: Mapping[str, Any]) -> Any:
    """Fit what was planned; leaves the version's files and a report."""
    request = msgspec.json.decode((folder / _REQUEST).read_bytes(), type=TrainRequest)
    planned = plan(Table.from_parquet((folder / TABLE).read_bytes()), request)

    def progress(stage: str, share: float) -> None:
        _write(folder / "progress.json", {"stage": stage, "progress": 0.8 * share})

    fitted = fit(planned, progress)
    progress("converting", 1.0)
    names = [feature.name for feature in fitted.schema.features]
    frame = planned.table.to_frame(names)
    graph, parity, reason = _convert(fitted, names, frame)
    progress("packing", 1.1)
    version = folder / "version"
    version.mkdir()
    _pack(version, fitted, names, graph)
    report = folder / "report"
    report.mkdir()
    for name, picture in pictures.pictures(fitted).items():
        (report / name).write_bytes(picture)
    route = "native" if graph is None else "onnx"
    _write(report / "by_class.json", [asdict(row) for row in fitted.report])
    _write(
        report / "serving.json",
        {
            "route": route,
            "reason": reason,
            "parity": None if parity is None else asdict(parity),
            "notes": fitted.notes,
        },
    )
    return {
        "metrics": fitted.metrics,
        "seconds": {**fitted.seconds, "fit": fitted.seconds["fit"]},
        "params": _recorded(request, fitted, route),
        "sha256": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(version.iterdir())
        },
        "features": [(feature.name, feature.type) for feature in fitted.schema.features],
        "notes": fitted.notes,
    }


def _convert(
    fitted: Fitted, names: list[str], frame: Any
) -> tuple[bytes | None, Parity | None, str | None]:
    """Give a graph that was compared with the pipeline on every row, or why there is none."""
    try:
        graph = convert(fitted.pipeline, names)
    except NotConvertible as error:
        return None, None, str(error)
    parity = check(graph, fitted.pipeline, frame, fitted.X)
    if not parity.agrees:
        return None, parity, "the graph does not answer exactly as scikit-learn does"
    return graph, parity, None


def _pack(folder: Path, fitted: Fitted, names: list[str], graph: bytes | None) -> None:
    (folder / "schema.json").write_bytes(encode(fitted.schema))
    (folder / "model.skops").write_bytes(dumps(fitted.pipeline))
    classifier: Classifier
    if graph is not None:
        (folder / "model.onnx").write_bytes(graph)
        classifier = OnnxClassifier(graph)
    else:
        classifier = NativeClassifier(fitted.pipeline, Preparation.of(fitted.pipeline, names))
    golden = made_up_rows(fitted.X, fitted.schema.features)
    arrays: dict[str, Any] = {"X": golden}
    if classifier.has_probabilities:
        arrays["labels"], arrays["probabilities"] = classifier.labels_and_probabilities(golden)
    else:
        arrays["labels"] = classifier.labels(golden)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    (folder / "golden.npz").write_bytes(buffer.getvalue())


def _recorded(request: TrainRequest, fitted: Fitted, route: str) -> dict[str, str]:
    """Give the parameters as MLflow records them: those of the fit and those of the request."""
    asked = {
        "model_type": request.model_type,
        "target": request.target,
        "test_size": request.test_size,
        "seed": request.seed,
        "preprocessing": request.preprocessing,
        "class_weight": request.class_weight,
        "refit": request.refit,
        "served_by": route,
    }
    estimator = fitted.pipeline["classify"]
    settings = {f"param.{key}": value for key, value in estimator.get_params(deep=False).items()}
    return {key: clip(value, 500) for key, value in {**asked, **settings}.items()}


def _adopt(folder: Path, order: Mapping[str, Any]) -> Any:
    """Make a foreign version servable, or say why not."""
    target = folder / "adopted"
    target.mkdir()
    try:
        adopt(Path(order["source"]), target, order["allow_pickle"])
    except ValueError as error:
        return {"reason": clip(error, 300)}
    return {"reason": None}


JOBS: Mapping[str, Callable[[Path, Mapping[str, Any]], Any]] = {
    "model_types": _model_types,
    "built_ins": _built_ins,
    "data_set": _data_set,
    "inspect": _inspect,
    "train": _train,
    "adopt": _adopt,
}
