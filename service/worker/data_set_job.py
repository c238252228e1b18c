"""The job that reads an upload to `/datasets`, which may be larger than memory."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from service.common.did_you_mean import did_you_mean
from service.common.domain import Note, is_name
from service.common.errors import InvalidRequest, Problem
from service.processes.job_files import ROWS, TABLE
from service.schema import strict_json
from service.schema.file_options import MARKERS
from service.worker.data.canonical import CanonicalFile, CanonicalWriter, content_sha256
from service.worker.data.csv_file import CsvFile
from service.worker.data.inline import read_inline
from service.worker.data.parquet import ParquetRows
from service.worker.data.row_file import RowFile, look, store
from service.worker.data.selection import limited
from service.worker.data.table import Limits
from service.worker.learning.column_checks import marker_note, marker_notes
from service.worker.learning.request import parse_options
from service.worker.task import Task
from service.worker.upload_jobs import summary

_PART_BYTES = 4 * 2**20
"""Bytes of a CSV file that are read at a time, unless it has more than 500 columns."""
_PART_OF_COLUMN = 8 * 2**10


def read_data_set(task: Task) -> Any:
    """Read an upload to `/datasets`, write it in its canonical form, and describe it."""
    folder, spec = task.folder, task.spec
    name = spec["name"]
    if name is None or not is_name(name):
        message = "must be 1 to 128 of A-Z a-z 0-9 . _ -" if name else "is missing: send ?name=…"
        raise InvalidRequest(f"The data set's name {message}.", [Problem("/name", message)])
    target = spec["target"] and spec["target"].strip()
    options = parse_options(spec["options"])
    path, columns = folder / TABLE, spec["max_columns"]
    if spec["media"] == "json":
        value = strict_json.parse((folder / ROWS).read_bytes(), spec["max_depth"])
        table = read_inline(value, Limits(spec["max_rows"], columns), "", options, target)
        _check_target(target, table.columns)
        path.write_bytes(table.to_parquet())
        notes = limited([*table.notes, *marker_notes(table, target)])
        return summary(name, table, target, notes)
    at = "/file" if spec["form"] else ""
    limits = Limits(spec["most_rows"], columns, spec["most_cells"], spec["most_bytes"])
    file = _open(folder / ROWS, spec["media"], limits, at, options.encoding)
    known = look(file, options, target, at)
    _check_target(target, known.columns)
    texts = [column for column, type_ in known.types.items() if type_ == "text"]
    counts: dict[str, Counter[str]] = {text: Counter() for text in texts if text != target}
    markers = pa.array(MARKERS, pa.string())

    def count(column: str, array: Any) -> None:
        if column in counts:
            counts[column].update(array.filter(pc.is_in(array, markers)).to_pylist())

    written = store(file, known, path, count)
    reading = known.reading
    more = [
        note for text, found in counts.items() for note in marker_note(text, found, reading.missing)
    ]
    return summary_of_file(path, written, name, target, limited([*reading.notes, *more]))


def summary_of_file(
    path: Path,
    written: CanonicalWriter,
    name: str,
    target: str | None,
    notes: Sequence[Note],
) -> dict[str, Any]:
    """Describe a canonical file that was written as the record of a data set does."""
    with CanonicalFile(path) as file:
        digest = content_sha256(file.columns())
    return {
        "name": name,
        "sha256": digest,
        "rows": written.rows,
        "columns": written.summary(),
        "target": target,
        "notes": [asdict(note) for note in notes],
    }


def _check_target(target: str | None, columns: Collection[str]) -> None:
    if target is not None and target not in columns:
        hint = did_you_mean(target, columns) or "."
        message = f"is not a column of this data set{hint}"
        raise InvalidRequest(f"The target {message}", [Problem("/target", message)])


def _open(path: Path, media: str, limits: Limits, at: str, encoding: str) -> RowFile:
    """Open an upload in the format that the content type or the first bytes tell."""
    with path.open("rb") as file:
        is_parquet = media == "parquet" or file.read(4) == b"PAR1"
    if is_parquet:
        return ParquetRows(path, limits, at)
    return CsvFile(path, limits, at, encoding, _PART_BYTES, _PART_OF_COLUMN)
