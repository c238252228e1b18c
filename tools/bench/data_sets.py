"""A large data set: what it takes to store it, next to pandas, which reads the file in one go."""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.csv as pa_csv

from tests.support.tables import table, tell
from tools.bench import processes
from tools.bench.client import BenchFailed
from tools.bench.options import Options
from tools.bench.processes import Server, pinned

_BYTES = 256 * 2**20
"""Of the file by default: what is made of it grows with the file, and the memory should not."""
_LARGEST = "SIZE_MIB"
"""Environment variable that sets another size, in MiB."""
_COLUMNS = 20
_ROWS_AT_ONCE = 50_000
_LOOK_SECONDS = 0.01
_MB = 1e6
_GOAL = "< 268 MB"


class Stored(NamedTuple):
    """What it took to read the file and to write it as Parquet."""

    seconds: float
    service_mb: float
    """Memory of the serving process beyond what it had before."""
    reader_mb: float
    """Memory of the process that read the file, beyond what its imports take."""


def measure(options: Options) -> str:
    """Store the file by the service and by pandas in turn; return the table."""
    folder, cores = options.folder("data-sets"), options.cores
    path = folder / "rows.csv"
    size = write(path, int(os.environ.get(_LARGEST, _BYTES >> 20)) << 20)
    ours: list[Stored] = []
    theirs: list[Stored] = []
    with processes.service(folder, cores.server) as service, pinned(cores.client):
        _store(service, path, "warm", most=2**20)  # The worker host imports scikit-learn.
        for turn in range(options.rounds):
            tell(f"data sets: round {turn + 1} of {options.rounds}")
            ours.append(_store(service, path, f"rows-{turn}"))
            theirs.append(_pandas(path, cores.server))
    by_pandas = statistics.median(one.seconds for one in theirs)
    rows = [
        [
            name,
            *(statistics.median(figures) for figures in zip(*runs, strict=True)),
            statistics.median(one.seconds for one in runs) / by_pandas,
        ]
        for name, runs in (("POST /datasets", ours), ("pandas", theirs))
    ]
    shown = [
        [name, seconds * 2**30 / size, ratio, service, reader, goal]
        for (name, seconds, service, reader, ratio), goal in zip(rows, (_GOAL, ""), strict=True)
    ]
    note = (
        f"A CSV file of {size / 2**20:,.0f} MiB with {_COLUMNS} columns of numbers and a label. "
        "The service receives it over HTTP, reads it twice, writes Parquet, hashes it and copies "
        "it to its store; pandas reads it in one go (`read_csv`) and writes Parquet with the same "
        f"compression. Medians of {options.rounds} rounds on one core. Memory: the peak beyond "
        "what the process had before."
    )
    columns = ["", "s/GiB", "x pandas", "service MB", "reader MB", "goal"]
    return table("Large data sets", note, columns, shown)


def write(path: Path, size: int) -> int:
    """Write a CSV file of at least that many bytes; return how many."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        while file.tell() < size:
            numbers = {f"c{place}": random.normal(size=_ROWS_AT_ONCE) for place in range(_COLUMNS)}
            label = random.integers(0, 2, _ROWS_AT_ONCE)
            header = pa_csv.WriteOptions(include_header=not file.tell())
            pa_csv.write_csv(pa.table({**numbers, "label": label}), file, header)
        return file.tell()


def _store(service: Server, path: Path, name: str, most: int | None = None) -> Stored:
    """Send the file, or its first bytes up to a whole line, to the service."""
    content = path.read_bytes()[:most].rpartition(b"\n")[0] if most else path.open("rb")
    with _watched(service.pid) as peak:
        start = time.perf_counter()
        answer = httpx.post(
            f"http://127.0.0.1:{service.port}/datasets",
            params={"name": name},
            content=content,
            headers={"content-type": "text/csv"},
            timeout=600,
        )
        seconds = time.perf_counter() - start
    if answer.status_code != 201:
        raise BenchFailed(f"The data set is not stored: {answer.text[:300]}")
    return Stored(seconds, peak["service"] / _MB, peak["reader"] / _MB)


@contextmanager
def _watched(pid: int) -> Iterator[dict[str, int]]:
    """Yield the peaks of the service and of its newest worker, filled while the block runs."""
    service = psutil.Process(pid)
    before = service.memory_info().rss
    peak = {"service": 0, "reader": 0}
    first: dict[int, int] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            peak["service"] = max(peak["service"], service.memory_info().rss - before)
            for host in service.children():
                for worker in host.children():
                    try:
                        held = worker.memory_info().rss
                    except psutil.Error:
                        continue
                    # A worker begins with what its host has imported, and waits for its job.
                    more = held - first.setdefault(worker.pid, held)
                    peak["reader"] = max(peak["reader"], more)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _pandas(path: Path, core: int | None) -> Stored:
    command = [sys.executable, "-m", "tools.bench.data_sets", str(path)]
    with pinned(core):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise BenchFailed(f"pandas: {ran.stderr[-300:]}")
    return Stored(*json.loads(ran.stdout))


def main() -> None:
    """Read a file with pandas, write it as Parquet, and print what that took."""
    path = Path(sys.argv[1])
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    pd.read_csv(path).to_parquet(path.with_suffix(".parquet"), compression="zstd")
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    sys.stdout.write(json.dumps([seconds, 0.0, (peak - before) / _MB]))


if __name__ == "__main__":
    main()
