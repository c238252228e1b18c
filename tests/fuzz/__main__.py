"""Runs all fuzzers with one seed: `python -m tests.fuzz --seed 1`. Exit code 1: a fault."""

import argparse
import subprocess
import sys

from tests.fuzz.api import ROOT

_FILES = (
    *("-m", "pytest", "-q", "--numprocesses", "3", "--hypothesis-profile", "long"),
    "tests/worker/data/test_formats_agree.py",
    "tests/worker/data/test_files_agree.py",
    "tests/schema/test_decoder.py",
    "tests/server/fast_path/test_agreement.py",
)


def main() -> int:
    """Run the three fuzzers; return 1 if one of them found a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", default="1")
    seed = parser.parse_args().seed
    codes = [
        subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode
        for command in (
            ("-m", "tests.fuzz.raw", "--seed", seed),
            (*_FILES, "--hypothesis-seed", seed),
            ("-m", "tests.fuzz.api", "--seed", seed),
        )
    ]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
