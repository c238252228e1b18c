"""Rows as Parquet and Arrow, as a client would write them."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.schema.contract import Schema

TYPES = {
    "number": pa.float64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
}


Rows = list[dict[str, Any]]


def columnar(rows: Rows, media: str, schema: Schema) -> bytes:
    """Write rows as Parquet or as an Arrow stream."""
    fields = [pa.field(feature.name, TYPES[feature.type]) for feature in schema.features]
    table = pa.Table.from_pylist(rows, pa.schema(fields))
    sink = io.BytesIO()
    if media == "parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()
