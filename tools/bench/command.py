"""The command line shared by the measurements: pinning, a time limit, cleanup on interrupts."""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tests.support.tables import write
from tools.bench.client import BenchFailed
from tools.bench.options import Options
from tools.bench.processes import two_cores


def parser(name: str, description: str | None, seconds: int = 3) -> argparse.ArgumentParser:
    """Return a parser with the options of every measurement."""
    made = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    made.add_argument("--seconds", type=_positive, default=seconds, help="of each run of wrk")
    made.add_argument("--rounds", type=_positive, default=3, help="of each measurement")
    made.add_argument("--no-pin", action="store_true", help="leave the cores to the system")
    return made


def run(asked: argparse.Namespace, most_seconds: int, job: Callable[[Options], int]) -> int:
    """Run a job and return its status; 1 if something cannot be measured.

    A run ends itself after `most_seconds`, plus the extra time that longer options need.
    """
    cores = two_cores(not asked.no_pin)
    write(f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}; {cores}.")
    write(f"Load average before: {os.getloadavg()[0]:.1f}.")
    return bounded(
        most_seconds + 100 * asked.seconds * asked.rounds,
        lambda folder: job(Options(asked.seconds, asked.rounds, cores, folder)),
    )


def bounded(seconds: int, job: Callable[[Path], int]) -> int:
    """Run a job in a temporary folder, with a time limit in seconds; return its status."""
    # Signals raise exceptions, so that servers are ended and folders are removed.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    signal.alarm(seconds)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            return job(Path(folder))
        except BenchFailed as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted.\n")
            return 130


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
