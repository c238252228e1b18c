"""Puts the objects of a copy into the bucket; the database follows, in another container.

Nothing is done where the database has tables: a restore is for an empty namespace. Objects first,
so that the database never names what is not there. Usage: python3 restore.py COPY, or `latest`.
"""

import os
import sys
import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import OperationalError
from store import BUCKET, DUMP, ROOT, client, copies, manifest_of, place_of, sha256_of

CHOICE = Path("/choice/dump")
"""Where the container that restores the database finds the dump's path; empty: nothing to do."""
_DEADLINE_SECONDS = 120


def main(wanted: str) -> None:
    """Restore the objects, and choose the dump."""
    if database_has_tables():
        print("The database is in use already: nothing is restored.", flush=True)
        CHOICE.write_text("")
        return
    found = copies()
    chosen = found[-1:] if wanted == "latest" else [copy for copy in found if copy.name == wanted]
    if not chosen:
        names = ", ".join(copy.name for copy in found) or "none"
        sys.exit(f"There is no copy {wanted!r} in {ROOT}; there is {names}.")
    manifest = manifest_of(chosen[0])
    s3 = client()
    _make_bucket(s3)
    for key, entry in manifest.items():
        place = place_of(entry["sha256"])
        if not place.is_file() or sha256_of(place) != entry["sha256"]:
            sys.exit(f"The copy is damaged: {key} is missing, or not what was copied (sha256).")
        s3.upload_file(str(place), BUCKET, key)
    print(f"{chosen[0].name}: {len(manifest)} objects are in the bucket", flush=True)
    CHOICE.write_text(str(chosen[0] / DUMP))


def database_has_tables() -> bool:
    """Return whether the database is in use, so that nothing may be restored over it."""
    engine = create_engine(os.environ["MLFLOW_BACKEND_STORE_URI"])
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            with engine.connect() as connection:
                return bool(inspect(connection).get_table_names())
        except OperationalError as error:
            if time.monotonic() > deadline:
                sys.exit(f"The database does not answer: {str(error).splitlines()[0]}")
            time.sleep(1)


def _make_bucket(s3: object) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            buckets = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}  # type: ignore[attr-defined]
            if BUCKET not in buckets:
                s3.create_bucket(Bucket=BUCKET)  # type: ignore[attr-defined]
            return
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"The object store does not answer: {error}")
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
