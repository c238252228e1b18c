"""The embedded store in another place than it was made in.

MLflow writes absolute paths into its database: a data folder that was moved, copied back from a
backup or mounted elsewhere would be written to where it used to be. There is no call to change
them, so they are changed in the database, before MLflow opens it.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


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
        if not tables.issuperset(table for table, _ in _COLUMNS):
            return
        known = connection.execute(
            "SELECT artifact_location FROM experiments WHERE name = 'trainings'"
        ).fetchone()
        before = str(known[0]).removesuffix("/trainings") if known else wanted
        if before == wanted:
            return
        for table, column in _COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE substr({column}, 1, ?) = ?",
                (wanted, len(before) + 1, len(before) + 1, f"{before}/"),
            )
