"""Checks the locked releases against published advisories: `make audit`.

An audit without data finds nothing either: if pip-audit cannot look a release up, it omits it
and succeeds. So the result counts only if a control, a release with a known flaw, was reported
and every release that the lock pins was looked up, including those for other Python versions.
"""

import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import orjson

from tools.supply.pins import Pin, normal, pins
from tools.supply.report import NoData

ROOT = Path(__file__).parents[2]
TOOL = ROOT / ".supply" / "bin" / "pip-audit"
LOCK = ROOT / "requirements-server.lock"
CONTROL = ROOT / "tools" / "supply" / "control.txt"
KNOWN = "CVE-2019-10906"
"""The advisory about the control."""

_SECONDS = 600


def look_up(tool: Path, wanted: Collection[Pin]) -> Mapping[Pin, list[str]]:
    """Return each release's advisories, each with all its ids; raise NoData on failure."""
    found: dict[Pin, list[str]] = {}
    while left := [pin for pin in wanted if pin not in found]:
        # One request may pin a name only once.
        asked = list({pin.name: pin for pin in left}.values())
        answered = _ask(tool, asked)
        if missing := [pin for pin in asked if pin not in answered]:
            names = ", ".join(f"{pin.name} {pin.version}" for pin in missing[:5])
            raise NoData(f"{len(missing)} of {len(asked)} were not looked up: {names}")
        found |= answered
    return found


def _ask(tool: Path, wanted: Collection[Pin]) -> dict[Pin, list[str]]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{name}=={version}\n" for name, version in wanted))
        file.flush()
        ran = subprocess.run(
            [tool, "--requirement", file.name, "--no-deps", "--disable-pip", "--format", "json",
             "--progress-spinner", "off"],
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    try:
        told = orjson.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        last = ran.stderr.strip().rsplit("\n", 1)[-1]
        raise NoData(f"pip-audit gave no report: {last}") from error
    return {
        Pin(normal(item["name"]), item["version"]): [
            " = ".join([flaw["id"], *flaw["aliases"]]) for flaw in item["vulns"]
        ]
        for item in told
        if "vulns" in item
    }


def audit(tool: Path, lock: Path, control: Path = CONTROL) -> list[str]:
    """Return a line for each release with an advisory; raise NoData on failure."""
    for pin, flaws in look_up(tool, pins(control)).items():
        if not any(KNOWN in flaw for flaw in flaws):
            raise NoData(f"{KNOWN} on the control, {pin.name} {pin.version}, was not reported")
    return [
        f"{pin.name} {pin.version}: {flaw}"
        for pin, flaws in look_up(tool, pins(lock)).items()
        for flaw in flaws
    ]


def main() -> int:
    """Audit the image's lock; return 0 if there was data and nothing was found."""
    try:
        found = audit(TOOL, LOCK)
    except NoData as error:
        sys.stderr.write(f"The audit had no data, so it says nothing: {error}.\n")
        return 1
    for line in found:
        sys.stdout.write(f"{line}\n")
    count = len(pins(LOCK))
    sys.stdout.write(
        f"{len(found)} advisories on {count} releases of {LOCK.name}; the control was reported.\n"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
