"""The command: copies the files, or with `--check` compares the copies with what they must be.

Where npm or a network is missing, `--check` compares with the committed checksums alone and says
so; with `--need-packages`, as in continuous integration, that is a failure.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.vendor.copies import copy, differences_from_packages, differences_from_sums
from tools.vendor.packages import DifferentPackage, NotInstalled, install

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are."""

    copies: Path = ROOT / "service" / "console" / "vendor"
    locked: Path = ROOT / "tools" / "vendor"
    packages: Path = ROOT / ".vendor"
    npm: str | None = None

    def install(self) -> Path:
        """Install the packages; raises NotInstalled or DifferentPackage."""
        return install(self.npm, self.locked, self.packages)


def main(arguments: Sequence[str], places: Places) -> int:
    """Copy, check or install; return 0 if the copies are what they must be."""
    parser = argparse.ArgumentParser(prog="python -m tools.vendor")
    parser.add_argument("--check", action="store_true", help="compare the copies, change nothing")
    parser.add_argument(
        "--need-packages", action="store_true", help="fail where the packages cannot be had"
    )
    parser.add_argument("--install", action="store_true", help="install the packages alone")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.check:
            return _check(places, chosen.need_packages)
        modules = places.install()
    except (NotInstalled, DifferentPackage) as error:
        sys.stderr.write(f"The packages were not installed: {error}.\n")
        return 1
    if not chosen.install:
        copy(modules, places.copies)
    return 0


def _check(places: Places, need_packages: bool) -> int:
    wrong = differences_from_sums(places.copies)
    if not wrong:
        try:
            wrong = differences_from_packages(places.install(), places.copies)
        except NotInstalled as error:
            sys.stderr.write(
                "The files in service/console/vendor were compared with their checksums alone, "
                f"not with the packages: {error}.\n"
            )
            return 1 if need_packages else 0
    for line in wrong:
        sys.stderr.write(f"service/console/vendor/{line}\n")
    if wrong:
        sys.stderr.write("`make vendor` copies these files anew from the locked packages.\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Places(npm=shutil.which("npm"))))
