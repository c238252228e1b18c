"""A planned training, done: fitted, converted, compared, and packed for the registry."""

import hashlib
import io
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from skops.io import dumps

from service.children.folder import PROGRESS, REPORT, REQUEST, TABLE, VERSION, write
from service.errors import clip
from service.fit import pictures
from service.fit.fit import Fitted, fit
from service.fit.plan import plan
from service.fit.request import TrainRequest
from service.graphs import NotConvertible, convert
from service.graphs.parity import Parity, check, made_up_rows
from service.preparation import Preparation
from service.runtime import Classifier, NativeClassifier, OnnxClassifier
from service.schema import encode
from service.tables import Column, Table


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


def train(folder: Path, _order: Mapping[str, Any]) -> Any:
    """Fit what was planned; leaves the version's files and a report."""
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=TrainRequest)
    planned = plan(Table.from_parquet((folder / TABLE).read_bytes()), request)

    def progress(stage: str, share: float) -> None:
        write(folder / PROGRESS, {"stage": stage, "progress": 0.8 * share})

    fitted = fit(planned, progress)
    progress("converting", 1.0)
    names = [feature.name for feature in fitted.schema.features]
    frame = planned.table.to_frame(names)
    graph, parity, reason = _convert(fitted, names, frame)
    progress("packing", 1.1)
    version = folder / VERSION
    version.mkdir()
    _pack(version, fitted, names, graph)
    report = folder / REPORT
    report.mkdir()
    for name, picture in pictures.pictures(fitted).items():
        (report / name).write_bytes(picture)
    route = "native" if graph is None else "onnx"
    write(report / "by_class.json", [asdict(row) for row in fitted.report])
    write(
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
