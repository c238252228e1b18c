"""The training job: its output, and how it reports a defect."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.processes.job_files import REPORT, TABLE, VERSION
from service.processes.limits import JobLimits
from service.processes.messages import (
    Crashed,
    Done,
    News,
    Outcome,
    Progress,
    StartJob,
    to_json,
)
from service.schema.evaluation import decode
from service.schema.train_request import TrainRequest
from service.training.spec import told_limits
from service.worker import jobs
from service.worker.data.table import built_in
from service.worker.learning import plots

LIMITS = JobLimits(seconds=60, memory_bytes=2**32)


@pytest.fixture
def streams() -> Any:
    """Restore standard output and error after a job has redirected them."""
    kept = {number: os.dup(number) for number in (1, 2)}
    yield
    for number, copy in kept.items():
        os.dup2(copy, number)
        os.close(copy)


def train(folder: Path, progress: list[News]) -> Outcome:
    table, target = built_in("iris")
    (folder / TABLE).write_bytes(table.to_parquet())
    request = TrainRequest(name="m", model_type="GaussianNB", target=target)
    spec = to_json({"request": request.model_dump_json(), **told_limits(LIMITS)})
    return jobs.run(StartJob(1, "train", str(folder), LIMITS, spec), progress.append)


@pytest.mark.usefixtures("streams")
def test_a_training_leaves_a_version_and_a_report_and_reports_its_progress(tmp_path: Path) -> None:
    progress: list[News] = []

    outcome = train(tmp_path, progress)

    assert isinstance(outcome, Done)
    result = msgspec.json.decode(outcome.result)
    files = {path.name for path in (tmp_path / VERSION).iterdir()}
    assert files == set(result["sha256"])
    assert {"model.skops", "model.onnx", "schema.json", "golden.npz", "reference.json"} == files
    report = {path.name for path in (tmp_path / REPORT).iterdir()}
    assert {"by_class.json", "evaluation.json", "serving.json", "confusion_matrix.png"} <= report
    assert json.loads((tmp_path / REPORT / "serving.json").read_bytes())["route"] == "onnx"
    assert decode((tmp_path / REPORT / "evaluation.json").read_bytes()).rows == 30
    steps = [step for step in progress if isinstance(step, Progress)]
    assert [step.share for step in steps] == sorted(step.share for step in steps)
    assert steps[-1].stage == "converting"


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("error", [ZeroDivisionError("drawing"), ValueError("drawing")])
def test_an_error_while_pictures_are_made_is_a_defect_with_a_traceback(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(plots, "pictures", broken)

    outcome = train(tmp_path, [])

    assert outcome == Crashed("It met an internal error.")
    logged = capsys.readouterr().err
    assert "Traceback" in logged
    assert f"{type(error).__name__}: drawing" in logged
