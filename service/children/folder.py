"""The files of a job's folder, as both sides know them."""

from pathlib import Path
from typing import Any

import orjson

ORDER = "order.json"
RESULT = "result.json"
ERROR = "error.json"
PROGRESS = "progress.json"
ROWS = "rows"
"""What was uploaded."""
TABLE = "table.parquet"
"""The same in its canonical form."""
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
