"""A planned training, done: fitted, converted, compared, and packed for the registry."""

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from skops.io import dumps

from service.common.disk_errors import NO_STORAGE
from service.common.errors import clip
from service.models.classifier import Classifier
from service.models.onnx_classifier import OnnxClassifier
from service.processes.job_files import PROGRESS, REPORT, REQUEST, TABLE, VERSION, write
from service.schema.contract import encode
from service.schema.train_request import TrainRequest
from service.worker.data.table import Column, Table
from service.worker.learning import plots
from service.worker.learning.fitting import Fitted, fit
from service.worker.learning.plan import plan
from service.worker.onnx_export.builder import NotConvertible
from service.worker.onnx_export.convert import convert
from service.worker.onnx_export.parity import Parity, check, made_up_rows
from service.worker.sklearn_models.array_preprocessing import Preparation
from service.worker.sklearn_models.classifier import NativeClassifier

_NO_MEMORY = 255


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
    with tempfile.TemporaryDirectory() as name:
        _pack(Path(name), fitted, ["x"], graph)
        _keep(Path(name), Path(name), fitted)


def train(folder: Path, _order: Mapping[str, Any]) -> Any:
    """Fit what was planned; leaves the version's files and a report."""
    request = TrainRequest.model_validate_json((folder / REQUEST).read_bytes())
    planned = plan(Table.from_parquet((folder / TABLE).read_bytes()), request)

    def progress(stage: str, share: float) -> None:
        write(folder / PROGRESS, {"stage": stage, "progress": 0.8 * share})

    fitted = fit(planned, progress)
    version, report = folder / VERSION, folder / REPORT
    version.mkdir()
    report.mkdir()
    progress("converting", 1.0)
    start = time.perf_counter()
    with _aside(lambda: _keep(version, report, fitted)):
        names = [feature.name for feature in fitted.schema.features]
        graph, parity, reason = _convert(fitted, names, planned.table.to_frame(names))
        _pack(version, fitted, names, graph)
    seconds = {**fitted.seconds, "convert": time.perf_counter() - start}
    backend = "native" if graph is None else "onnx"
    write(report / "by_class.json", [asdict(row) for row in fitted.report])
    write(
        report / "serving.json",
        {
            "route": backend,
            "reason": reason,
            "parity": None if parity is None else asdict(parity),
            "notes": fitted.notes,
        },
    )
    return {
        "metrics": fitted.metrics,
        "seconds": seconds,
        "params": _recorded(request, fitted, backend),
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
    # A slow classifier has answered only some rows so far; a quick one all of them.
    all_rows = len(fitted.checked) == len(fitted.X)
    answers = (fitted.predicted, fitted.probabilities) if all_rows else None
    parity = check(graph, fitted.pipeline, frame, fitted.X, answers)
    if not parity.agrees:
        return None, parity, "the graph does not answer exactly as scikit-learn does"
    return graph, parity, None


@contextmanager
def _aside(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` in a process beside the block, on another core if there is one.

    Raises OSError where the disk does not take it; MemoryError for whatever else fails: there is no
    other reason that could be mended.
    """
    pid = os.fork()
    if pid == 0:
        status = _NO_MEMORY
        try:
            work()
            status = 0
        except OSError as error:
            status = error.errno or _NO_MEMORY
        except MemoryError:
            pass
        finally:
            os._exit(status)
    try:
        yield
    finally:
        _, ended = os.waitpid(pid, 0)
    status = os.waitstatus_to_exitcode(ended)
    if status in NO_STORAGE:
        raise OSError(status, os.strerror(status))
    if status:
        raise MemoryError


def _keep(version: Path, report: Path, fitted: Fitted) -> None:
    """Write what needs no graph: the pipeline and the pictures."""
    (version / "model.skops").write_bytes(dumps(fitted.pipeline))
    for name, picture in plots.pictures(fitted).items():
        (report / name).write_bytes(picture)


def _pack(folder: Path, fitted: Fitted, names: list[str], graph: bytes | None) -> None:
    """Write what serving needs beside the pipeline: schema, graph, golden rows and answers."""
    (folder / "schema.json").write_bytes(encode(fitted.schema))
    classifier: Classifier
    if graph is not None:
        (folder / "model.onnx").write_bytes(graph)
        classifier = OnnxClassifier(graph)
    else:
        classifier = NativeClassifier(
            fitted.pipeline, Preparation.from_pipeline(fitted.pipeline, names)
        )
    golden = made_up_rows(fitted.X, fitted.schema.features)
    arrays: dict[str, Any] = {"X": golden}
    if classifier.has_probabilities:
        arrays["labels"], arrays["probabilities"] = classifier.labels_and_probabilities(golden)
    else:
        arrays["labels"] = classifier.labels(golden)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    (folder / "golden.npz").write_bytes(buffer.getvalue())


def _recorded(request: TrainRequest, fitted: Fitted, backend: str) -> dict[str, str]:
    """Give the parameters as MLflow records them: those of the fit and those of the request."""
    asked = {
        "model_type": request.model_type,
        "target": request.target,
        "test_size": request.test_size,
        "seed": request.seed,
        "preprocessing": request.preprocessing,
        "class_weight": request.class_weight,
        "refit": request.refit,
        "served_by": backend,
    }
    estimator = fitted.pipeline["classify"]
    settings = {f"param.{key}": value for key, value in estimator.get_params(deep=False).items()}
    return {key: clip(value, 500) for key, value in {**asked, **settings}.items()}
