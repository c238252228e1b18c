"""The copies: which files they are, and what is wrong with them."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

FILES: Mapping[str, str] = {
    "htm/LICENSE": "htm/LICENSE",
    "htm/htm.umd.js": "htm/dist/htm.umd.js",
    "preact/LICENSE": "preact/LICENSE",
    "preact/hooks.umd.js": "preact/hooks/dist/hooks.umd.js",
    "preact/preact.min.umd.js": "preact/dist/preact.min.umd.js",
    "uplot/LICENSE": "uplot/LICENSE",
    "uplot/uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uplot/uPlot.min.css": "uplot/dist/uPlot.min.css",
}
"""Each copy, and the file of a package that it is a copy of."""

SUMS = "SHA256SUMS"
"""The file of checksums, which `sha256sum --check` reads, too."""


def copy(modules: Path, target: Path) -> None:
    """Replace what is in `target` by copies from `modules`, the folder of packages, with sums."""
    bodies = {name: (modules / source).read_bytes() for name, source in FILES.items()}
    if target.exists():
        shutil.rmtree(target)
    for name, body in bodies.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    write_sums(target)


def write_sums(target: Path) -> None:
    """Write the checksums of the copies that are there."""
    lines = [f"{_sha256(target / name)}  {name}\n" for name in FILES]
    (target / SUMS).write_text("".join(lines))


def differences_from_sums(target: Path) -> list[str]:
    """Return a line for each file that is missing, or is not what the checksums say."""
    if not (target / SUMS).is_file():
        return [f"{SUMS}: is missing"]
    listed: dict[str, str] = {}
    for line in (target / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    present = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    wanted = listed.keys() | FILES.keys()
    changed = [name for name in present & listed.keys() if _sha256(target / name) != listed[name]]
    return [
        *(f"{name}: is missing" for name in sorted(wanted - present)),
        *(f"{name}: is not in {SUMS}" for name in sorted(present - listed.keys() - {SUMS})),
        *(f"{name}: is no file of a package" for name in sorted(listed.keys() - FILES.keys())),
        *(f"{name}: differs from its checksum" for name in sorted(changed)),
    ]


def differences_from_packages(modules: Path, target: Path) -> list[str]:
    """Return a line for each copy that is not, byte for byte, the file of its package."""
    return [
        f"{name}: differs from {source} of the package"
        for name, source in FILES.items()
        if (target / name).read_bytes() != (modules / source).read_bytes()
    ]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
