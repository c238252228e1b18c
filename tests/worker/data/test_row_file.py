"""A file that is read part by part gives what one gives that is read as a whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.common.errors import ServiceError
from service.schema.file_options import NO_OPTIONS, FileOptions
from service.worker.data import row_file
from service.worker.data.canonical import CanonicalFile, content_sha256
from service.worker.data.csv import read_csv
from service.worker.data.csv_file import CsvFile
from service.worker.data.parquet import ParquetRows, read_parquet
from service.worker.data.row_file import RowFile
from service.worker.data.table import LIMITS, Limits, Table
from tests.support.table_files import DIALECTS, Dialect, Rows, as_arrow, as_csv, tables

Outcome = dict[str, Any]
"""What can be seen of a table, or of the error."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


def seen(table: Table) -> Outcome:
    return {
        "columns": {name: (c.type, c.written) for name, c in table.columns.items()},
        "sha256": table.sha256(),
        "notes": table.notes,
        "missing": table.missing_texts,
        "excluded": table.excluded,
        "summary": table.summary(),
    }


def refused(error: ServiceError) -> Outcome:
    problems = getattr(error, "problems", ())
    return {"error": (type(error).__name__, str(error), tuple(problems))}


def whole(data: bytes, options: FileOptions, target: str | None, limits: Limits) -> Outcome:
    read = read_parquet if data.startswith(b"PAR1") else read_csv
    try:
        return seen(read(data, limits, "/file", options, target))
    except ServiceError as error:
        return refused(error)


class FewRows:
    """A Parquet file of which three rows are read at a time."""

    def __init__(self, path: Path, file: ParquetRows) -> None:
        self._path, self._file = path, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def parts(self) -> Iterator[list[Any]]:
        for batch in pq.ParquetFile(self._path).iter_batches(batch_size=3):
            yield batch.columns


def in_parts(
    folder: Path, data: bytes, options: FileOptions, target: str | None, limits: Limits
) -> Outcome:
    path, stored = folder / "rows", folder / "table.parquet"
    path.write_bytes(data)
    try:
        file: RowFile
        if data.startswith(b"PAR1"):
            file = FewRows(path, ParquetRows(path, limits, "/file"))
        else:
            file = CsvFile(path, limits, "/file", options.encoding, part=1)
        known = row_file.look(file, options, target, "/file")
        written = row_file.store(file, known, stored, lambda *_: None)
    except ServiceError as error:
        return refused(error)
    table = Table.from_parquet(stored)
    assert (written.rows, written.summary()) == (table.rows, table.summary())
    with CanonicalFile(stored) as canonical:
        assert content_sha256(canonical.columns()) == table.sha256()
    return seen(table)


def agree(
    folder: Path,
    data: bytes,
    options: FileOptions = NO_OPTIONS,
    target: str | None = None,
    limits: Limits = LIMITS,
) -> Outcome:
    expected = whole(data, options, target, limits)
    assert in_parts(folder, data, options, target, limits) == expected
    return expected


OPTIONS = st.builds(
    FileOptions,
    types=st.dictionaries(st.sampled_from(["ca", "ok"]), st.sampled_from(["number", "text"])),
    missing=st.none() | st.just(["NA"]) | st.just([]),
    exclude=st.sampled_from([[], ["ok"]]),
)


@settings(deadline=None)
@given(table=tables(), dialect=DIALECTS, options=OPTIONS, times=st.integers(1, 4))
def test_a_csv_in_parts_is_the_same_data_set(
    folder: Path, table: Rows, dialect: Dialect, options: FileOptions, times: int
) -> None:
    longer = {name: values * times for name, values in table.items()}
    agree(folder, as_csv(longer, dialect), options, "ok")


@settings(deadline=None)
@given(table=tables(), options=OPTIONS, coded=st.booleans())
def test_a_parquet_file_in_parts_is_the_same_data_set(
    folder: Path, table: Rows, options: FileOptions, coded: bool
) -> None:
    rows = as_arrow(table)
    if coded:
        coded_ok = rows["ok"].combine_chunks().dictionary_encode()
        rows = rows.set_column(rows.column_names.index("ok"), "ok", coded_ok)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=5)
    agree(folder, sink.getvalue().to_pybytes(), options, "ok")


LATE = "a,b\n" + "1,2\n" * 60
"""The start of a file whose rest, some parts later, is as it should not be."""


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (LATE + "x,2\n", "text"),
        (LATE + "NA,2\n", "number"),
        (LATE + "007,2\n", "text"),
        (LATE + "true,2\n", "text"),
        (LATE.replace("1,2", "NA,2") + "true,2\n", "boolean"),
        (LATE.replace("1,2", ",2") + "true,2\n", "boolean"),
        (LATE.replace(",", ";") + "1,5;2\n", "number"),
        ('"a",b\n' + '"x\ny, z",2\n' * 60, "text"),
    ],
)
def test_what_comes_late_in_a_file_decides_its_types(
    folder: Path, data: str, expected: str
) -> None:
    assert agree(folder, data.encode())["columns"]["a"][0] == expected


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (LATE + "inf,2\n", "row 61 holds 'inf' among numbers"),
        (LATE + "9007199254740993,2\n", "row 61 holds an integer beyond 2^53"),
        (LATE + "\n1\n1,2,3\n", "line 63 has 1 fields"),
        (LATE + '1,"open\n' + "1,2\n" * 60, "never closed"),
        ('a,b\n"x, y",2\n' + "1,2\n" * 60 + "1\n", "record 63"),
        ("a,b\n" + "1\n" * 60, "line 2 has 1 fields"),
        ("1,2\n" * 40, "looks like data"),
        ("a b\n" + "1 2\n" * 40, "separated by blanks"),
        ("a,a\n" + "1,2\n" * 40, "both called"),
    ],
)
def test_an_error_late_in_a_file_names_the_same_place(
    folder: Path, data: str, sentence: str
) -> None:
    assert sentence in agree(folder, data.encode())["error"][1]


def test_bytes_that_are_no_utf_8_are_told_with_their_line(folder: Path) -> None:
    data = LATE.encode() + b"\xff,2\n"
    assert "line 62" in agree(folder, data)["error"][1]
    assert "line 62" in agree(folder, data.replace(b"\n", b"\r\n"))["error"][1]


def test_other_encodings_are_read_in_parts(folder: Path) -> None:
    data = ("é;b\n" + "ü;2\n" * 60).encode("utf-16")
    found = agree(folder, data, FileOptions(encoding="utf-16"))
    assert found["columns"] == {"é": ("text", ""), "b": ("number", "")}


def test_limits_hold_for_all_parts_together(folder: Path) -> None:
    assert "60 rows" not in agree(folder, LATE.encode(), limits=Limits(rows=60))
    assert "59 rows" in agree(folder, LATE.encode(), limits=Limits(rows=59))["error"][1]


def test_the_files_of_these_tests_are_read_in_many_parts(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text(LATE)
    assert sum(1 for _ in CsvFile(path, part=1).parts()) >= 4


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
@pytest.mark.parametrize("last", ["60", "7"])
def test_an_index_is_left_out_if_it_counts_to_the_last_row(
    folder: Path, name: str, last: str
) -> None:
    rows = [f"{row},x\n" for row in range(60)]
    found = agree(folder, "".join([f"{name},b\n", *rows, f"{last},x\n"]).encode())
    if last == "60":
        assert found["excluded"] == ("Unnamed: 0",)
    else:
        assert not found.get("excluded")


@pytest.mark.parametrize("last", ["n60", "n7"])
def test_names_of_rows_are_left_out_if_no_two_are_the_same(folder: Path, last: str) -> None:
    rows = [f"n{row},x\n" for row in range(60)]
    found = agree(folder, "".join([",b\n", *rows, f"{last},x\n"]).encode())
    assert ("excluded" in found) == (last == "n60")


def test_rows_are_stored_in_groups_of_a_bounded_size(tmp_path: Path) -> None:
    table = Table.from_parquet(_numbers(rows=700_000, columns=6))
    path = tmp_path / "rows.parquet"
    path.write_bytes(table.to_parquet())
    metadata = pq.ParquetFile(path).metadata
    sizes = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert sum(sizes) == 700_000
    assert max(sizes) * 6 * 8 <= 20 * 2**20
    assert Table.from_parquet(path).sha256() == table.sha256()


def _numbers(rows: int, columns: int) -> bytes:
    sink = pa.BufferOutputStream()
    values = np.arange(float(rows))
    pq.write_table(pa.table({f"c{place}": values + place for place in range(columns)}), sink)
    return bytes(sink.getvalue())
