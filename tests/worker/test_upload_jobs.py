"""What the record of a large data set tells is checked before anybody fetches its rows."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from service.common.errors import UnusableData
from service.processes.job_files import ROWS
from service.worker.task import Task
from service.worker.upload_jobs import inspect_training

GIB = 2**30


def inspect(
    folder: Path, rows: int, *, seconds: float = 60.0, memory: int = GIB, **more: Any
) -> Any:
    body = {"name": "m", "model_type": "GaussianNB", "dataset": "big", "target": "c0", **more}
    (folder / ROWS).write_bytes(orjson.dumps(body))
    columns = [{"name": f"c{place}", "type": "number", "missing": 0} for place in range(21)]
    spec = {
        **{"media": "json", "form": False, "file": False, "file_name": None, "fields": {}},
        **{"max_depth": 32, "training_seconds": seconds, "training_memory": memory},
        **{"in_use": None, "wait": 0, "use": False},
        **{"known_target": None, "record": {"rows": rows, "columns": columns, "bytes": 2**30}},
    }
    return inspect_training(Task(folder, spec, lambda _: None))


def test_more_values_than_a_training_takes_are_refused_unless_columns_are_left_out(
    tmp_path: Path,
) -> None:
    with pytest.raises(UnusableData, match="100,000,020 values; there may be 100,000,000"):
        inspect(tmp_path, 5_000_001)

    assert inspect(tmp_path, 5_000_001, exclude=["c1"])["data_set"] is None
    assert inspect(tmp_path, 5_000_000)["data_set"] is None


def test_a_training_with_more_memory_takes_more_values(tmp_path: Path) -> None:
    assert inspect(tmp_path, 20_000_000, memory=16 * GIB)["data_set"] is None

    with pytest.raises(UnusableData, match="400,000,020 values; there may be 400,000,000"):
        inspect(tmp_path, 20_000_001, memory=16 * GIB)
