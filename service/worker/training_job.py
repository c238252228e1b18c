"""The job that fits a planned training, converts it, and writes what the registry stores."""

import hashlib
import io
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from skops.io import dumps

from service.common.domain import IF_BETTER
from service.common.errors import clip
from service.common.search import SearchState, Trial
from service.models.classifier import Classifier, answer
from service.models.onnx_classifier import OnnxClassifier
from service.processes.job_files import (
    OTHERS,
    REPORT,
    STORED,
    TABLE,
    VERSION,
)
from service.processes.messages import to_json
from service.schema import reference
from service.schema.contract import encode
from service.schema.evaluation import FILE as EVALUATION
from service.schema.train_request import TrainRequest
from service.worker.data.table import Column, Table
from service.worker.learning import evaluation, held_out, plots
from service.worker.learning.curves import curves_of
from service.worker.learning.fitting import Fitted, Progress, fit
from service.worker.learning.folds import Folds
from service.worker.learning.plan import Plan, plan
from service.worker.learning.search_request import metric_of
from service.worker.onnx_export.builder import NotConvertible
from service.worker.onnx_export.convert import convert
from service.worker.onnx_export.parity import Parity, check, made_up_rows
from service.worker.search.forked_trials import ForkedTrials
from service.worker.search.run import Found, SearchRun, Shared
from service.worker.search.trials import Share
from service.worker.sklearn_models.array_preprocessing import Preparation
from service.worker.sklearn_models.classifier import NativeClassifier
from service.worker.task import Task
from service.worker.upload_jobs import bounds_of, planned_on_data_set

_SEARCH = 0.4
"""The share of a training's progress that its search is."""
_MOST_SEARCH = 0.8
"""The share of a training's time that its search may take."""


def warm() -> None:
    """Do a small training and keep nothing, so that late imports are done once for all jobs.

    It reads and writes nothing of Arrow, whose threads would make a fork unsafe.
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


def train(task: Task) -> Any:
    """Fit what was planned; write the version's files and a report, and return the record.

    Of several pods that share a search, the first one does that; the others return nothing.
    """
    folder = task.folder
    planned, described = _planned(task)
    request = planned.request

    def progress(stage: str, share: float) -> None:
        task.report(stage, 0.8 * share)

    notes: tuple[str, ...] = ()
    searched: dict[str, float] = {}
    if request.search is not None:
        start = time.perf_counter()
        found = _search(planned, task, progress)
        if found is None:
            return {}
        planned, notes = planned.of(found.model_type, found.params), found.notes
        searched = {"search": time.perf_counter() - start}
    fitted = fit(planned, progress)
    request = planned.request
    version, report = folder / VERSION, folder / REPORT
    version.mkdir()
    report.mkdir()
    progress("converting", 1.0)
    start = time.perf_counter()
    names = [feature.name for feature in fitted.schema.features]
    graph, parity, reason = _convert(fitted, names, planned.table.to_frame(names))
    _pack(version, fitted, names, graph)
    _keep(version, report, fitted)
    if request.use == IF_BETTER:
        notes = (*notes, *held_out.keep(folder, planned.table, fitted))
    seconds = {**searched, **fitted.seconds, "convert": time.perf_counter() - start}
    backend = "native" if graph is None else "onnx"
    serving = {
        "route": backend,
        "reason": reason,
        "parity": None if parity is None else asdict(parity),
        "notes": [*notes, *fitted.notes],
    }
    (report / "by_class.json").write_bytes(to_json(fitted.report))
    (report / "serving.json").write_bytes(to_json(serving))
    return {
        "model_type": request.model_type,
        "metrics": fitted.metrics,
        "seconds": seconds,
        "params": _recorded(request, fitted, backend),
        "chosen": dict(fitted.params),
        "sha256": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(version.iterdir())
        },
        "notes": [*notes, *fitted.notes],
        "features": [(feature.name, feature.type) for feature in fitted.schema.features],
        "data_set": described,
    }


def _planned(task: Task) -> tuple[Plan, dict[str, Any] | None]:
    """Return the plan, and how the rows are described if nobody has read them before.

    Where the job is told of a data set, the folder has its rows as they are stored. Otherwise it
    has those that were checked at the request.
    """
    request = TrainRequest.model_validate_json(task.spec["request"])
    name, bounds = task.spec.get("data_set"), bounds_of(task.spec)
    if name is None:
        return plan(Table.from_parquet(task.folder / TABLE), request, bounds=bounds), None
    task.report("reading rows", 0.0)
    return planned_on_data_set(task.folder / STORED, name, request, bounds)


def _search(planned: Plan, task: Task, progress: Progress) -> Found | None:
    """Find the best classifier and parameters in a part of the time that the training has."""
    request = planned.request
    assert request.search is not None
    shared = _SharedByFile(task)
    runner = ForkedTrials(
        Folds(planned, request.search_folds),
        request.params,
        metric_of(request),
        1 if shared.share.pods > 1 else request.search.parallel or 1,
    )

    def tell(state: SearchState, trials: Sequence[Trial], share: float) -> None:
        progress("search", _SEARCH * share)
        task.report_search(state, trials)

    progress("search", 0.0)
    return SearchRun(
        planned, runner, _MOST_SEARCH * task.spec["training_seconds"], tell, shared
    ).run()


class _SharedByFile(Shared):
    """What other pods have tried, in a file that the program around this job writes."""

    def __init__(self, task: Task) -> None:
        self._file = task.folder / OTHERS
        self._read_at = 0
        self.share = Share(task.spec.get("index", 0), task.spec.get("pods", 1))
        self.searched_seconds = task.spec.get("searched_seconds", 0.0)

    def trials(self) -> Sequence[Trial]:
        """Return the trials in the file, if it has been written again."""
        try:
            written_at = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return ()
        if written_at == self._read_at:
            return ()
        self._read_at = written_at
        return msgspec.json.decode(self._file.read_bytes(), type=list[Trial])


def _convert(
    fitted: Fitted, names: list[str], frame: Any
) -> tuple[bytes | None, Parity | None, str | None]:
    """Return a graph that was compared with the pipeline on every row, or why there is none."""
    try:
        graph = convert(fitted.pipeline, names)
    except NotConvertible as error:
        return None, None, str(error)
    # A slow classifier has answered only some of the rows so far, a quick one all of them.
    all_rows = len(fitted.checked) == len(fitted.X)
    answers = (fitted.predicted, fitted.probabilities) if all_rows else None
    parity = check(graph, fitted.pipeline, frame, fitted.X, answers)
    if not parity.agrees:
        return None, parity, "the graph does not answer exactly as scikit-learn does"
    return graph, parity, None


def _keep(version: Path, report: Path, fitted: Fitted) -> None:
    """Write the pipeline, and how it did on the held-out rows, which need no graph."""
    (version / "model.skops").write_bytes(dumps(fitted.pipeline))
    classes, truth = fitted.schema.classes, fitted.codes[fitted.test]
    curves = curves_of(truth, fitted.held_out, len(classes))
    record = evaluation.record(classes, fitted.report, fitted.confusion, curves)
    if record is not None:
        (report / EVALUATION).write_bytes(record)
    for name, picture in plots.pictures(fitted, curves).items():
        (report / name).write_bytes(picture)


def _pack(folder: Path, fitted: Fitted, names: list[str], graph: bytes | None) -> None:
    """Write what serving needs beside the pipeline: schema, graph, golden rows, their answers.

    The reference is not needed, but compared with.
    """
    (folder / "schema.json").write_bytes(encode(fitted.schema))
    (folder / reference.FILE).write_bytes(reference.encode(fitted.reference))
    classifier: Classifier
    if graph is not None:
        (folder / "model.onnx").write_bytes(graph)
        classifier = OnnxClassifier(graph)
    else:
        classifier = NativeClassifier(
            fitted.pipeline, Preparation.from_pipeline(fitted.pipeline, names)
        )
    golden = made_up_rows(fitted.X, fitted.schema.features)
    labels, probabilities = answer(classifier, golden, classifier.has_probabilities)
    arrays: dict[str, Any] = {"X": golden, "labels": labels}
    if probabilities is not None:
        arrays["probabilities"] = probabilities
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    (folder / "golden.npz").write_bytes(buffer.getvalue())


def _recorded(request: TrainRequest, fitted: Fitted, backend: str) -> dict[str, str]:
    """Return the parameters for MLflow: those of the request and those of the fitted classifier."""
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
