"""The files in a job's folder: rows, matrices, answers and artifacts, but no messages."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTPUT = "output"
"""What the job wrote to its standard output and error."""
ROWS = "rows"
"""What was uploaded."""
TABLE = "table.parquet"
"""The rows in the canonical form that a training reads."""
OTHERS = "others.json"
"""The trials of a search that others have made, as the pod reads them from MLflow."""
STORED = "data_set.parquet"
"""The rows of a data set as they are stored, where nobody has read them for this training yet."""
MATRIX = "matrix.npy"
"""The rows to predict, as the schema of a version orders them."""
LABELS = "labels.npy"
PROBABILITIES = "probabilities.npy"
HELD_OUT = "held_out.parquet"
"""The rows that a training held out, for another version to answer them."""
TRUTH = "truth.npy"
"""The true classes of rows, as indexes of a version's classes."""
REFUSED = "refused.npy"
"""Which of the rows to predict the schema of a version refuses."""
VERSION = "version"
"""The folder with the artifacts of the new version."""
REPORT = "report"
"""The folder with the artifacts of the training's record."""


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array in the format of `np.save`, whose own error hides that the disk is full."""
    with path.open("wb") as file:
        head = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, head)
        file.write(array.ravel(order="K").data)


def write_answers(
    folder: Path, labels: NDArray[np.int64], probabilities: NDArray[np.float64] | None
) -> None:
    """Write predictions for a worker to read: class indexes, and probabilities if there are any."""
    save(folder / LABELS, labels)
    if probabilities is not None:
        save(folder / PROBABILITIES, probabilities)
