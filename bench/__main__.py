"""Measures the service against its limit, a tutorial's handler and scikit-learn itself."""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from bench import bulk, many_rows, one_row, start, training
from bench.client import BenchFailed
from bench.options import Options
from bench.processes import two_cores
from bench.tables import write

PARTS: dict[str, Callable[[Options], str]] = {
    "one-row": one_row.measure,
    "many-rows": many_rows.measure,
    "bulk": bulk.measure,
    "training": training.measure,
    "start": start.measure,
}

_MOST_SECONDS = 600
"""A run that hangs ends itself after this, plus what longer options ask for."""


def main() -> int:
    """Print the tables; 1 where something cannot be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="only this one")
    parser.add_argument("--seconds", type=int, default=3, help="of each run of wrk")
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement")
    parser.add_argument("--no-pin", action="store_true", help="leave the cores to the system")
    asked = parser.parse_args()
    if asked.seconds < 1 or asked.rounds < 1:
        parser.error("--seconds and --rounds must be 1 or more")
    # Exceptions, so that servers are ended and folders removed on the way out.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(_MOST_SECONDS + 30 * asked.seconds * asked.rounds)
    cores = two_cores(not asked.no_pin)
    write(f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}; {cores}.")
    parts = [asked.part] if asked.part else list(PARTS)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        options = Options(asked.seconds, asked.rounds, cores, Path(folder))
        try:
            for part in parts:
                write(PARTS[part](options))
        except BenchFailed as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted.\n")
            return 130
    return 0


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


if __name__ == "__main__":
    sys.exit(main())
