"""Parquet files and inline rows are read as their owner would expect, or refused."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.common.errors import BodyTooLarge, UnusableData
from service.worker.data.inline import read_inline
from service.worker.data.parquet import read_parquet
from service.worker.data.table import Limits
from tests.support.columns import values


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_parquet_columns_of_every_plain_type_are_read() -> None:
    table = read_parquet(
        parquet(
            i=pa.array([1, None], pa.int32()),
            f=pa.array([1.5, float("nan")], pa.float32()),
            d=pa.array(["1.25", None]).cast(pa.decimal128(9, 2)),
            b=[True, None],
            s=["x", None],
            c=pa.array(["y", "y"]).dictionary_encode(),
            n=pa.nulls(2),
        )
    )
    assert [c.type for c in table.columns.values()] == [
        *("number", "number", "number", "boolean", "text", "text", "number"),
    ]
    assert values(table, "i") == [1.0, None]
    assert values(table, "f") == [1.5, None]
    assert values(table, "d") == [1.25, None]
    assert values(table, "b") == [True, None]
    assert values(table, "s") == ["x", None]
    assert values(table, "c") == ["y", "y"]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([0], pa.timestamp("s")), "unix seconds"),
        (pa.array([0], pa.date32()), "unix seconds"),
        (pa.array([[1]]), "nested"),
        (pa.array([{"a": 1}]), "nested"),
        (pa.array([b"x"]), "binary"),
        (pa.array([2**53 + 1]), "2^53"),
        (pa.array([float("inf")]), "row 1 is infinite"),
        (pa.array(["a\0b"]), "NUL"),
        (pa.array(["1"]).cast(pa.decimal128(30, 2)), "decimal"),
    ],
)
def test_parquet_columns_of_other_kinds_are_refused(column: Any, reason: str) -> None:
    with pytest.raises(UnusableData, match=reason.replace("^", r"\^")) as caught:
        read_parquet(parquet(good=[1], bad=column), at="/file")
    assert caught.value.problems[0].pointer == "/file"
    assert "'bad'" in caught.value.problems[0].message


def test_parquet_integers_beyond_2_53_that_float64_holds_are_read() -> None:
    assert values(read_parquet(parquet(a=[2**60, 1])), "a") == [2.0**60, 1.0]


def test_parquet_index_of_pandas_is_left_out() -> None:
    sink = io.BytesIO()
    pd.DataFrame({"a": [1, 2]}, index=[5, 7]).to_parquet(sink)
    assert list(read_parquet(sink.getvalue()).columns) == ["a"]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\0" * 60 + b"PAR1", b"a,b\n1,2\n"])
def test_parquet_that_is_damaged_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableData, match="cannot be read"):
        read_parquet(data)


def test_parquet_cut_or_changed_anywhere_is_read_or_refused() -> None:
    whole = parquet(a=list(range(50)), b=["x", "y"] * 25)
    for place in range(0, len(whole), 3):
        for broken in (whole[:place], whole[:place] + b"\xff" + whole[place + 1 :]):
            try:
                read_parquet(broken)
            except (UnusableData, BodyTooLarge):
                continue


def test_parquet_that_grows_beyond_the_limit_is_too_large_before_it_is_read() -> None:
    bomb = parquet(a=np.zeros(200_000), b=np.arange(200_000.0))
    with pytest.raises(BodyTooLarge, match="decompressed"):
        read_parquet(bomb, Limits(bytes=1_000_000))
    with pytest.raises(BodyTooLarge, match="rows"):
        read_parquet(bomb, Limits(rows=1_000))


def test_inline_rows_and_records_of_the_same_values_are_the_same_table() -> None:
    rows: list[list[Any]] = [[1, True, "x", None], [2.5, None, None, None]]
    by_row = read_inline({"columns": ["n", "b", "t", "m"], "rows": rows})
    by_record = read_inline({"records": [dict(zip("nbtm", row, strict=True)) for row in rows]})
    assert by_row.sha256() == by_record.sha256()
    assert values(by_row, "n") == [1.0, 2.5]
    assert values(by_row, "b") == [True, None]
    assert values(by_row, "t") == ["x", None]
    assert values(by_row, "m") == [None, None]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([1], "/d"),
        ({}, "/d"),
        ({"columns": ["a"], "rows": [[1]], "more/x": 1}, "/d/more~1x"),
        ({"columns": "a", "rows": [[1]]}, "/d/columns"),
        ({"columns": ["a"], "rows": {}}, "/d/rows"),
        ({"columns": ["a"], "rows": []}, "/d/rows"),
        ({"columns": ["a", 1], "rows": [[1, 2]]}, "/d/columns/1"),
        ({"columns": ["a", "a"], "rows": [[1, 2]]}, "/d/columns/1"),
        ({"columns": ["a", "b"], "rows": [[1, 2], [1]]}, "/d/rows/1"),
        ({"columns": ["a", "b"], "rows": [[1, 2], 3]}, "/d/rows/1"),
        ({"columns": ["a", "b"], "rows": [[1, 2], [1, "2"]]}, "/d/rows/1/1"),
        ({"columns": ["a", "b"], "rows": [[1, 2], [1, True]]}, "/d/rows/1/1"),
        ({"columns": ["a", "b"], "rows": [[1, 2], [1, [2]]]}, "/d/rows/1/1"),
        ({"columns": ["a", "b"], "rows": [[1, 2], [1, 2**53 + 1]]}, "/d/rows/1/1"),
        ({"columns": ["a", "b"], "rows": [[1, 2], [1, 10**400]]}, "/d/rows/1/1"),
        ({"columns": ["a", "b"], "rows": [[1, 2], [1, float("inf")]]}, "/d/rows/1/1"),
        ({"columns": ["a", "b"], "rows": [[1, "x"], [1, "\0"]]}, "/d/rows/1/1"),
        ({"records": []}, "/d/records"),
        ({"records": [1]}, "/d/records/0"),
        ({"records": [{"a": 1}, {}]}, "/d/records/1/a"),
        ({"records": [{"a": 1}, {"a": 1, "b~": 2}]}, "/d/records/1/b~0"),
        ({"records": [{"a": 1}, {"a": "x"}]}, "/d/records/1/a"),
        ({"records": [{"a": 1}, [1]]}, "/d/records/1"),
    ],
)
def test_inline_data_that_is_ill_formed_is_pointed_at(body: object, pointer: str) -> None:
    with pytest.raises(UnusableData) as caught:
        read_inline(body, at="/d")
    assert caught.value.problems[0].pointer == pointer


def test_inline_nan_is_no_missing_value() -> None:
    with pytest.raises(UnusableData, match="finite"):
        read_inline({"columns": ["a"], "rows": [[float("nan")]]})


def test_inline_data_over_a_limit_is_too_large() -> None:
    with pytest.raises(BodyTooLarge):
        read_inline({"columns": [f"c{i}" for i in range(10_001)], "rows": []})
    with pytest.raises(BodyTooLarge):
        read_inline({"records": [{"a": 1}] * 3}, Limits(rows=2))
