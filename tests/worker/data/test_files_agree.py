"""One table in every format: the same schema, the same notes, the same matrix to predict from."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from service.common.domain import RowsMedia
from service.common.errors import UnusableData
from service.schema.contract import Schema
from service.schema.decoder import Decoder
from service.schema.decoder import Limits as JsonLimits
from service.schema.missing_texts import MissingTexts
from service.schema.train_request import TrainRequest
from service.worker.data.csv import read_csv
from service.worker.data.inline import read_inline
from service.worker.data.matrix import read_matrix
from service.worker.data.parquet import read_parquet
from service.worker.data.table import Limits, Table
from service.worker.learning.fitting import fit
from service.worker.learning.plan import plan
from service.worker.learning.preprocessing import encode
from tests.support.table_files import DIALECTS, Dialect, Rows, as_arrow, as_csv, as_parquet, tables


def as_stream(table: Rows) -> bytes:
    sink, rows = io.BytesIO(), as_arrow(table)
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def learned(table: Table) -> tuple[Schema | None, object]:
    """Train on a table; return the schema, apart from how its file spells numbers, and notes.

    Where that cannot be done, return no schema, and the reason.
    """
    request = TrainRequest(name="m", model_type="DecisionTreeClassifier", target="ok")
    try:
        planned = plan(table, request)
    except UnusableData as error:
        return None, str(error)
    schema = fit(planned).schema
    features = tuple(replace(feature, written="") for feature in schema.features)
    return replace(schema, features=features), planned.notes


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree") / "rows"


# Half as many tables as elsewhere: each is fitted three times.
@settings(deadline=None, max_examples=settings().max_examples // 2)
@given(table=tables(), dialect=DIALECTS)
def test_a_table_is_the_same_in_every_format(path: Path, table: Rows, dialect: Dialect) -> None:
    records = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    from_csv = read_csv(as_csv(table, dialect), target="ok")
    from_json = read_inline({"records": json.loads(json.dumps(records))}, target="ok")
    from_parquet = read_parquet(as_parquet(table), target="ok")

    assert from_csv.rows == len(records)
    assert list(from_csv.columns) == [name.strip() for name in table]
    assert from_csv.sha256() == from_json.sha256() == from_parquet.sha256()

    schema, notes = learned(from_csv)
    assert (schema, notes) == learned(from_json) == learned(from_parquet)

    if schema is None:
        return
    del table["ok"]
    expected = encode(from_json, schema)
    texts, matrices = MissingTexts(schema.features), []
    files: dict[RowsMedia, bytes] = {
        "csv": as_csv(table, dialect),
        "parquet": as_parquet(table),
        "arrow": as_stream(table),
    }
    for media, content in files.items():
        path.write_bytes(content)
        matrix = read_matrix(path, media, schema, Limits())
        np.testing.assert_array_equal(texts.filled(matrix), expected)
        matrices.append(matrix)
    instances = [{k.strip(): v for k, v in record.items() if k != "ok"} for record in records]
    body = json.dumps({"instances": instances}).encode()
    decoded = Decoder(schema, JsonLimits()).decode(body)[0]
    for matrix in matrices:
        np.testing.assert_array_equal(matrix, decoded)
