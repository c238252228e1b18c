"""Embedded stores of MLflow, made quickly."""

import functools
import tempfile
from pathlib import Path

from service.registry.connection import Connection

DATABASE = "mlflow.db"


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        Connection("", Path(folder)).close()
        return (Path(folder) / DATABASE).read_bytes()


def with_tables(folder: Path) -> Path:
    """Put an empty store into a folder, which the service then opens as its own.

    MLflow takes more than a second to make its tables; this makes them once for all tests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DATABASE).write_bytes(_empty_database())
    return folder
