"""Runs the conformance suite on MLServer: `python -m tools.bench.peers.conformance [option …]`.

It serves the forest with the metadata that the suite reads, and options go to pytest. The exit
code is pytest's: 1, as MLServer fails what conformance/README.md lists.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.bench.peers.servers import DESCRIBED

_ROOT = Path(__file__).parents[3]


def main(options: list[str]) -> int:
    """Start MLServer, run the suite with these options, and return the suite's exit code."""
    with tempfile.TemporaryDirectory() as folder, DESCRIBED.running(Path(folder), None) as server:
        command = [sys.executable, "-m", "pytest", "conformance", "-p", "no:xdist"]
        command += ["--base-url", f"http://127.0.0.1:{server.port}", "--model", "forest"]
        # It has the repository's routes but lists no extension.
        command += ["--extension", "model_repository", "--repository"]
        return subprocess.run([*command, *options], cwd=_ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
