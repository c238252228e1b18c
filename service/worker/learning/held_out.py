"""The held-out rows of a training, kept for the version in use to answer them as well."""

from pathlib import Path

import numpy as np

from service.processes.job_files import HELD_OUT, TRUTH, save, write_answers
from service.worker.data.table import Table
from service.worker.learning.fitting import Fitted

_MOST_CELLS = 4_000_000


def keep(folder: Path, table: Table, fitted: Fitted, most_cells: int = _MOST_CELLS) -> list[str]:
    """Write held-out rows with their truth and the new version's answers.

    The serving process holds their values at one time, so there are at most `most_cells` of them.
    Return what the owner of the training has to know of that.
    """
    total = len(fitted.test)
    most = max(1, most_cells // len(fitted.schema.features))
    # Evenly spaced in an order that is random.
    some = np.linspace(0, total - 1, min(total, most)).round().astype(np.int64)
    places = fitted.test[some]
    (folder / HELD_OUT).write_bytes(table.at(places).to_parquet())
    save(folder / TRUTH, fitted.codes[places])
    probabilities = None if fitted.held_out is None else fitted.held_out[some]
    write_answers(folder, fitted.answered[some], probabilities)
    if len(some) == total:
        return []
    return [f"It was compared on {len(some):,} of the {total:,} held-out rows."]
