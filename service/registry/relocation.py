"""The embedded store in another place than it was made in.

MLflow writes absolute paths into its database: a data folder that was moved, copied back from a
backup or mounted elsewhere would be written to where it used to be. There is no call to change
them, so they are changed in the database, before MLflow opens it.
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
"""What changes the addresses in each table that has some."""


def relocate(store: Path, root: Path) -> None:
    """Make a store's artifacts lie below `root`, if they were below another folder before.

    Raises sqlite3.Error where the file is no database; a store that MLflow has not filled yet, or
    another version of MLflow has, is left alone.
    """
    if not store.is_file():
        return
    wanted = root.as_uri()
    with closing(sqlite3.connect(store)) as connection, connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if not tables.issuperset(_STATEMENTS):
            return
        known = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = 'trainings'"
        ).fetchone()
        before = str(known[0]).removesuffix("/trainings") if known else wanted
        if before == wanted:
            return

        def moved(address: str | None) -> str | None:
            if address is None or not address.startswith(f"{before}/"):
                return address
            return f"{wanted}{address.removeprefix(before)}"

        connection.create_function("moved", 1, moved)
        for statement in _STATEMENTS.values():
            connection.execute(statement)
