"""The bucket, and the folder of copies: what the making of one and its restore share.

/backup/objects/ab/abcdef…      an object, under the SHA-256 of its bytes: kept once
/backup/2026-01-31T02-17-00Z/   a copy: database.dump, and manifest.json
/backup/arriving-…/             one that is not complete yet
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(os.environ.get("BACKUP_ROOT", "/backup"))
OBJECTS = ROOT / "objects"
ARRIVING = ROOT / f"arriving-{os.environ.get('HOSTNAME', '')}"
DUMP, MANIFEST = "database.dump", "manifest.json"
BUCKET = os.environ.get("BUCKET", "")

Manifest = dict[str, dict[str, Any]]
"""Of each key: `sha256`, `size` in bytes and `etag`."""


def client() -> Any:
    """Return a client of the object store."""
    return boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))


def copies() -> list[Path]:
    """Return the complete copies, the oldest first."""
    return sorted(path.parent for path in ROOT.glob(f"2*Z/{MANIFEST}"))


def manifest_of(copy: Path) -> Manifest:
    """Read what a copy holds."""
    found: Manifest = json.loads((copy / MANIFEST).read_bytes())
    return found


def place_of(sha256: str) -> Path:
    """Return the file of an object."""
    return OBJECTS / sha256[:2] / sha256


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
