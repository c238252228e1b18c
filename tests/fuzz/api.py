"""Schemathesis on the real server: all operations, phases and checks, valid and invalid input.

`python -m tests.fuzz.api --seed 1`: the summary is printed last; exit code 1 means that a check
failed, or that there were fewer than 20,000 cases.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.tables import tell
from tools.bench import processes

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = ROOT / ".fuzz" / "bin" / "schemathesis"
LEAST = 20_000
"""The minimum number of cases in a run."""

_SECONDS = 780
_SETTINGS = {
    "training_seconds": "10",
    "wait_seconds": "5",
    "trainings_queued": "100",
    "max_rows": "1000",
    "max_connections": "200",
}
_MODEL = {
    "name": "flowers",
    "model_type": "RandomForestClassifier",
    "params": {"n_estimators": 5},
    "dataset": "iris",
}


def write_files(folder: Path, columns: list[str]) -> None:
    """Write files of rows with these columns in each format that `/predict` reads."""
    folder.mkdir()
    for count in (1, 2, 50):
        table = pa.table({name: [0.5 + at for at in range(count)] for name in columns})
        pq.write_table(table, folder / f"{count}.parquet")
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        (folder / f"{count}.arrow").write_bytes(sink.getvalue())
    (folder / "rows.csv").write_text(",".join(columns) + "\n")


def run(seed: int, seconds: int, paths: str) -> tuple[int, int]:
    """Run Schemathesis for a given time; return its exit code and the number of cases.

    `paths` is a regular expression of the paths that are asked.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with processes.service(folder, None, **_SETTINGS) as server:
            client = server.client()
            client.ask("POST", "/train", _MODEL)
            features = client.ask("GET", "/schema")["features"]
            write_files(folder / "files", [feature["name"] for feature in features])
            command = [
                *(
                    str(SCHEMATHESIS),
                    "--config-file",
                    str(ROOT / "tests" / "fuzz" / "schemathesis.toml"),
                ),
                *("run", f"http://127.0.0.1:{server.port}/openapi.json", "--no-color"),
                *("--seed", str(seed), "--max-time", str(seconds)),
                *("--generation-database", "none", "--include-path-regex", paths),
            ]
            environment = {**os.environ, "FUZZ_FILES": str(folder / "files")}
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
            )
            assert process.stdout is not None
            output = ""
            for line in process.stdout:
                output += line
                sys.stdout.write(line)
            code = process.wait()
            server.require_life()
    found = re.search(r"([\d,]+) generated", output)
    return code, int(found[1].replace(",", "")) if found else 0


def main() -> int:
    """Run it; return 1 if a check failed or there were too few cases."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=_SECONDS)
    parser.add_argument("--paths", default="", help="only these, a regular expression")
    options = parser.parse_args()
    code, cases = run(options.seed, options.seconds, options.paths)
    enough = cases >= LEAST or options.seconds < _SECONDS or options.paths != ""
    tell(f"schemathesis: seed {options.seed}, {cases:,} cases, exit code {code}")
    return 0 if code == 0 and enough else 1


if __name__ == "__main__":
    sys.exit(main())
