"""The held-out rows that are kept for a comparison: all of them, or as many as fit."""

from pathlib import Path

import numpy as np
import pytest

from service.processes import job_files as files
from service.worker.data.table import Table
from service.worker.learning import held_out
from service.worker.learning.fitting import fit
from service.worker.learning.plan import plan
from tests.support.fitting import mixed, request


@pytest.mark.parametrize(("most_cells", "rows"), [(10**6, None), (30, None), (1, 1)])
def test_rows_truth_and_answers_that_are_kept_belong_together(
    tmp_path: Path, most_cells: int, rows: int | None
) -> None:
    planned = plan(mixed(), request())
    fitted = fit(planned)
    total, width = len(fitted.test), len(fitted.schema.features)
    rows = min(total, most_cells // width) if rows is None else rows

    notes = held_out.keep(tmp_path, planned.table, fitted, most_cells)

    kept = Table.from_parquet((tmp_path / files.HELD_OUT).read_bytes())
    truth = np.load(tmp_path / files.TRUTH)
    labels = np.load(tmp_path / files.LABELS)
    assert kept.rows == len(truth) == len(labels) == rows
    target = [fitted.schema.classes[code] for code in truth]
    assert [*kept.columns[planned.request.target or ""].values] == target
    answers = fitted.pipeline.predict(kept.to_frame(planned.features))
    assert [fitted.schema.classes[label] for label in labels] == [*answers]
    expected = f"It was compared on {rows:,} of the {total:,} held-out rows."
    assert notes == ([] if rows == total else [expected])
