"""Lists the image's Python packages as a CycloneDX document: `make sbom`.

It is made from the lock and has its hashes, so it lists what is installed on any platform and
version of Python. It does not include the contents of the base image.
"""

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import orjson

from service import __version__
from tools.supply.pins import Pin, normal, pins

ROOT = Path(__file__).parents[2]
TOOL = ROOT / ".supply" / "bin" / "cyclonedx-py"
LOCK = ROOT / "requirements-server.lock"
TARGET = ROOT / "build" / "sbom.cdx.json"


def document(made: bytes, wanted: Collection[Pin]) -> dict[str, Any]:
    """Return the tool's document with our version; raise ValueError if a release is missing."""
    found: dict[str, Any] = orjson.loads(made)
    hashed = {
        Pin(normal(item["name"]), item["version"])
        for item in found["components"]
        if any(reference.get("hashes") for reference in item.get("externalReferences", ()))
    }
    if missing := sorted(set(wanted) - hashed):
        raise ValueError(f"{len(missing)} releases are missing, or have no hash: {missing[:5]}")
    found["metadata"]["component"]["version"] = __version__
    return found


def main() -> int:
    """Write the document."""
    made = subprocess.run(
        [TOOL, "requirements", LOCK, "--pyproject", ROOT / "pyproject.toml",
         "--output-reproducible", "--output-format", "JSON", "--output-file", "-"],
        capture_output=True, timeout=600, check=False,
    )  # fmt: skip
    if made.returncode:
        sys.stderr.buffer.write(made.stderr)
        return 1
    found = document(made.stdout, pins(LOCK))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    sys.stdout.write(f"{TARGET.relative_to(ROOT)}: {len(found['components'])} releases\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
