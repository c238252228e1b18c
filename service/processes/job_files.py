"""The files of a job's folder, as both sides know them."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

ORDER = "order.json"
RESULT = "result.json"
ERROR = "error.json"
PROGRESS = "progress.json"
OUTPUT = "output"
"""What the job wrote to its standard output and error."""
ROWS = "rows"
"""What was uploaded."""
TABLE = "table.parquet"
"""The same in its canonical form."""
MATRIX = "matrix.npy"
"""The rows to predict, as a schema reads them."""
LABELS = "labels.npy"
PROBABILITIES = "probabilities.npy"
REQUEST = "request.json"
VERSION = "version"
"""The folder of what belongs to the new version."""
REPORT = "report"
"""The folder of what belongs to the training's record."""


def write(path: Path, value: Any) -> None:
    """Write JSON so that a reader finds all of it or nothing."""
    arriving = path.with_suffix(".part")
    arriving.write_bytes(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))
    arriving.rename(path)


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `np.save` does, whose error does not say that the disk is full."""
    with path.open("wb") as file:
        head = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, head)
        file.write(array.ravel(order="K").data)


def write_answers(
    folder: Path, labels: NDArray[np.int64], probabilities: NDArray[np.float64] | None
) -> None:
    """Leave predictions for a child: indexes of classes, and probabilities if there are any."""
    save(folder / LABELS, labels)
    if probabilities is not None:
        save(folder / PROBABILITIES, probabilities)
