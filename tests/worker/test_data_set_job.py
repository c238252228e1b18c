"""The job that reads a data set takes the same memory, however large the file is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from service.processes.job_files import ROWS, TABLE
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool

MEMORY = 256 * 2**20
"""Beyond what a worker has from its imports; less than the rows of the larger files."""
AT_ONCE = 50_000


@pytest.fixture(scope="module")
def workers() -> Iterator[WorkerPool]:
    pool = WorkerPool()
    yield pool
    pool.close()


def rows(random: np.random.Generator) -> pa.Table:
    """Return 20 columns of numbers, one of many texts, and a target."""
    columns: dict[str, Any] = {f"c{place}": random.normal(size=AT_ONCE) for place in range(20)}
    columns["text"] = [f"{place:x}" for place in random.integers(0, 10**9, AT_ONCE).tolist()]
    return pa.table({**columns, "label": random.integers(0, 2, AT_ONCE)})


def write(path: Path, media: str, size: int) -> int:
    """Write a file of about as many bytes; return its rows."""
    random = np.random.default_rng(0)
    first, count = rows(random), 0
    with path.open("wb") as file:
        if media == "csv":
            while file.tell() < size:
                options = pa_csv.WriteOptions(include_header=not count)
                pa_csv.write_csv(rows(random), file, options)
                count += AT_ONCE
            return count
        # All in one row group, as far as that goes.
        with pq.ParquetWriter(file, first.schema) as writer:
            table = pa.concat_tables(rows(random) for _ in range(size // (8 * 22 * AT_ONCE)))
            writer.write_table(table, row_group_size=table.num_rows)
            return int(table.num_rows)


@pytest.mark.slow
@pytest.mark.parametrize("media", ["csv", "parquet"])
@pytest.mark.parametrize("mebibytes", [64, 192])
def test_a_file_of_any_size_is_read_within_the_same_memory(
    workers: WorkerPool, tmp_path: Path, media: str, mebibytes: int
) -> None:
    count = write(tmp_path / ROWS, media, mebibytes * 2**20)
    spec = {
        **{"name": "big", "target": "label", "options": {}, "media": media, "form": False},
        **{"max_rows": 1, "max_columns": 100, "max_depth": 32},
        **{"most_rows": 10**8, "most_cells": 10**9, "most_bytes": 10**10},
    }

    job = workers.start("data_set", tmp_path, spec, JobLimits(120, MEMORY))
    described: Any = job.wait(120)

    assert (described["rows"], len(described["columns"])) == (count, 22)
    assert pq.ParquetFile(tmp_path / TABLE).metadata.num_rows == count
