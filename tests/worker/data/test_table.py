"""Tables: the file that they are kept as, their digest, and what is made of them."""

import io
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.worker.data.csv import read_csv
from service.worker.data.inline import read_inline
from service.worker.data.parquet import read_parquet
from service.worker.data.table import BUILT_IN, Column, Table, built_in
from tests.support.columns import values


def test_parquet_form_is_the_same_each_time_and_holds_everything() -> None:
    table = read_csv(b"n,b,t,m\n1,true,x,\n-2.5e3,FALSE,,7\n,,y,\n")
    data = table.to_parquet()
    again = Table.from_parquet(data)
    assert again.to_parquet() == data
    assert again.sha256() == table.sha256() == read_parquet(data).sha256()
    assert again.summary() == table.summary()
    assert pq.read_schema(io.BytesIO(data)).types == [
        *(pa.float64(), pa.bool_(), pa.string(), pa.float64()),
    ]


@pytest.mark.parametrize(
    "other",
    [
        b"a,b\n1,x\n2,\n",
        b"b,a\nx,1\ny,2\n",
        b"a,b\n1,x\n2,yy\n",
        b"a,b\n1,xy\n2,\n",
        b"a,c\n1,x\n2,y\n",
        b"a,b\n1,x\n3,y\n",
        b"a,b\ntrue,x\nfalse,y\n",
    ],
)
def test_sha256_tells_different_tables_apart(other: bytes) -> None:
    table = read_csv(b"a,b\n1,x\n2,y\n")
    assert table.sha256() == read_csv(b"a,b\r\n1.0,x\r\n2e0,y\r\n").sha256()
    assert table.sha256() != read_csv(other).sha256()


def test_sha256_tells_an_empty_text_from_a_missing_one() -> None:
    empty, missing = (
        read_inline({"columns": ["a"], "rows": [["x"], [value]]}) for value in ("", None)
    )
    assert empty.sha256() != missing.sha256()


def test_sha256_is_one_for_every_bit_pattern_of_a_missing_number() -> None:
    negative = np.array([-np.nan, 1.0])
    positive = np.array([np.nan, 1.0])
    assert (
        Table({"a": Column("number", negative)}).sha256()
        == Table({"a": Column("number", positive)}).sha256()
    )


def test_frame_has_floats_and_objects_with_nan_for_what_is_missing() -> None:
    frame = read_csv(b"n,b,t\n1,true,x\n,,\n").to_frame(["t", "b", "n"])
    assert list(frame.columns) == ["t", "b", "n"]
    assert [str(kind) for kind in frame.dtypes] == ["object", "float64", "float64"]
    assert frame["t"][0] == "x"
    assert all(isinstance(frame[name][1], float) and np.isnan(frame[name][1]) for name in "tbn")


def test_frame_leaves_the_table_as_it_was() -> None:
    table = read_csv(b"n,t\n1,x\n2,\n")
    table.to_frame(["t"])
    assert values(table, "t") == ["x", None]


def test_summary_is_ready_for_json() -> None:
    summary = read_csv(b"n,t\n1,\n2,\n3,x\n").summary()
    assert json.loads(json.dumps(summary)) == [
        {"name": "n", "type": "number", "missing": 0},
        {"name": "t", "type": "text", "missing": 2},
    ]


@pytest.mark.parametrize(
    ("name", "rows", "columns", "labels"),
    [
        ("iris", 150, 5, {"setosa", "versicolor", "virginica"}),
        ("wine", 178, 14, {"class_0", "class_1", "class_2"}),
        ("breast_cancer", 569, 31, {"malignant", "benign"}),
        ("digits", 1797, 65, set(map(float, range(10)))),
    ],
)
def test_built_in_data_sets_know_their_target(
    name: str, rows: int, columns: int, labels: set[object]
) -> None:
    assert name in BUILT_IN
    table, target = built_in(name)
    assert (table.rows, len(table.columns)) == (rows, columns)
    assert set(values(table, target)) == labels


def test_import_of_tables_leaves_scikit_learn_alone() -> None:
    code = (
        "import sys, service.worker.data.csv, service.worker.data.parquet, "
        "service.worker.data.inline; sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
