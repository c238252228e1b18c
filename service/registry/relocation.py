"""Adapts the embedded store after its data folder was moved.

MLflow writes absolute paths into its database, so that with a data folder that was moved, restored
from a backup or mounted elsewhere it would use the former path. MLflow has no call to change them;
they are changed in the database before MLflow opens it.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

_STATEMENTS = {
    "experiments": "UPDATE experiments SET artifact_location = moved(artifact_location)",
    "runs": "UPDATE runs SET artifact_uri = moved(artifact_uri)",
    "logged_models": "UPDATE logged_models SET artifact_location = moved(artifact_location)",
    "model_versions": "UPDATE model_versions SET storage_location = moved(storage_location)",
}
"""A statement for each table with addresses; `moved` is a function of Python's."""


def relocate(store: Path, root: Path) -> None:
    """Change the addresses of a store's artifacts to the folder `root`.

    A store without the tables of this version of MLflow is left unchanged. Raises sqlite3.Error
    where the file is not a database.
    """
    if not store.is_file():
        return
    after = root.as_uri()
    with closing(sqlite3.connect(store)) as connection, connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if not tables.issuperset(_STATEMENTS):
            return
        experiment = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = 'trainings'"
        ).fetchone()
        before = str(experiment[0]).removesuffix("/trainings") if experiment else after
        if before == after:
            return

        def moved(address: str | None) -> str | None:
            if address is None or not address.startswith(f"{before}/"):
                return address
            return f"{after}{address.removeprefix(before)}"

        connection.create_function("moved", 1, moved)
        for statement in _STATEMENTS.values():
            connection.execute(statement)
