"""Tables as a test looks at them."""

from typing import Any

import numpy as np

from service.worker.data.table import Table


def values(table: Table, name: str) -> list[Any]:
    """Return a column as plain values, with None for missing ones."""
    column = table.columns[name]
    if column.type == "text":
        return list(column.values)
    read = bool if column.type == "boolean" else float
    return [None if np.isnan(value) else read(value) for value in column.values]
