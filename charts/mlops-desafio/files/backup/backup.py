"""Completes a copy: the objects, after the database, which another container has dumped.

Objects are taken after the database, and MLflow writes them before it: whatever the dump names is
in the bucket by then, unless somebody deleted it meanwhile. What an earlier copy has is not fetched
again. Usage: python3 backup.py KEEP
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from store import (
    ARRIVING,
    BUCKET,
    DUMP,
    MANIFEST,
    OBJECTS,
    ROOT,
    Manifest,
    client,
    copies,
    manifest_of,
    place_of,
    sha256_of,
)

_DAY = 86_400.0


def main(keep: int) -> None:
    """Make the copy complete, and remove those beyond `keep`."""
    if not (ARRIVING / DUMP).stat().st_size:
        sys.exit("The dump of the database is empty.")
    s3 = client()
    known = manifest_of(copies()[-1]) if copies() else {}
    manifest: Manifest = {}
    fetched = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page.get("Contents", []):
            entry = _kept(known.get(item["Key"]), item)
            if entry is None:
                entry = _fetched(s3, item)
                fetched += 1
            manifest[item["Key"]] = entry
    _write(ARRIVING / MANIFEST, json.dumps(manifest, indent=1).encode())
    name = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    ARRIVING.rename(ROOT / name)
    _sync(ROOT)
    size = sum(entry["size"] for entry in manifest.values()) / 1e6
    print(f"{name}: {len(manifest)} objects of {size:.1f} MB, {fetched} of them new", flush=True)
    _prune(keep)


def _kept(entry: dict[str, Any] | None, item: dict[str, Any]) -> dict[str, Any] | None:
    """Return the last copy's entry for an object that has not changed and is still there."""
    if entry is None or (entry["etag"], entry["size"]) != (item["ETag"], item["Size"]):
        return None
    place = place_of(entry["sha256"])
    return entry if place.is_file() and place.stat().st_size == entry["size"] else None


def _fetched(s3: Any, item: dict[str, Any]) -> dict[str, Any]:
    arriving = ARRIVING / "object"
    s3.download_file(BUCKET, item["Key"], str(arriving))
    size = arriving.stat().st_size
    if size != item["Size"]:
        sys.exit(f"{item['Key']} came with {size} bytes of {item['Size']}.")
    sha256 = sha256_of(arriving)
    place = place_of(sha256)
    place.parent.mkdir(parents=True, exist_ok=True)
    with arriving.open("rb") as file:
        os.fsync(file.fileno())
    arriving.rename(place)
    return {"sha256": sha256, "size": size, "etag": item["ETag"]}


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _prune(keep: int) -> None:
    """Remove the oldest copies, and the objects that no other copy names.

    Objects of the last day stay: a copy that is made at the same time may be about to name them.
    """
    for copy in copies()[:-keep]:
        shutil.rmtree(copy)
        print(f"removed {copy.name}", flush=True)
    needed = {entry["sha256"] for copy in copies() for entry in manifest_of(copy).values()}
    for path in OBJECTS.glob("*/*"):
        if path.name not in needed and path.stat().st_mtime < time.time() - _DAY:
            path.unlink()


if __name__ == "__main__":
    main(int(sys.argv[1]))
