"""Rows as CSV, Parquet and Arrow, as a client would write them."""

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
    return _written(pa.Table.from_pylist(rows, pa.schema(fields)), media)


def encoded(rows: Rows, media: str) -> tuple[bytes, str]:
    """Write rows as CSV, as Parquet or as an Arrow stream; return them with their content type."""
    if media == "csv":
        lines = [
            ",".join("" if value is None else str(value) for value in row.values()) for row in rows
        ]
        return "\n".join([",".join(rows[0]), *lines, ""]).encode(), "text/csv"
    kind = "parquet" if media == "parquet" else "arrow.stream"
    return _written(pa.Table.from_pylist(rows), media), f"application/vnd.apache.{kind}"


def _written(table: Any, media: str) -> bytes:
    sink = io.BytesIO()
    if media == "parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()
