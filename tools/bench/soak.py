"""Checks memory, open files and threads for growth over many changes and long load.

`python -m tools.bench.soak`: 1,000 changes of the model in use between a LogisticRegression, a
forest (both in ONNX) and a KNeighborsClassifier (native) under predictions at half of what one
connection reaches with the slowest of them; then 10 minutes at half of what it reaches with the
first. Exit code 1: the service grew.
"""

import argparse
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.memory import Held, descendants, held
from tests.support.tables import table, tell, write
from tools.bench import processes
from tools.bench.client import BenchFailed, Client
from tools.bench.command import bounded
from tools.bench.open_loop import send_at
from tools.bench.trained import train_all

_MODELS = {
    "linear": "LogisticRegression",
    "forest": "RandomForestClassifier",
    "near": "KNeighborsClassifier",
}
_TURN = ("near", "linear", "forest", "linear")
"""An even number of changes: the linear model is in use at each mark, so they are comparable."""

_EVERY_SECONDS = 2.0
_CLOSED_SECONDS = 2.0
_WARM_CHANGES = 40
_SAMPLED_CHANGES = 20
_REST_SECONDS = 3.0
"""A pause before a sample: freed memory returns to the system at the poll after a change."""
_IDLE_SECONDS = 60
"""The worker host ends during the load, so that its end shows."""

_MB_PER_1000_CHANGES = 10.0
_MB_PER_10_MINUTES = 5.0
_FEW = 4
"""Permitted additional open files or threads at the end, as connections and pools vary."""

RULE = (
    "It has grown if the line through the service's RSS in the last half of the changes rises by "
    f"more than {_MB_PER_1000_CHANGES:g} MB in 1,000 changes, or that through the last half of the "
    f"load by more than {_MB_PER_10_MINUTES:g} MB in 10 minutes; or if the service ends with over "
    f"{_FEW} open files or threads more than it had after the warm-up."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources at one point; `at` counts changes or seconds."""

    at: float
    service: Held
    others: Held


def slope(samples: Sequence[Sample]) -> float:
    """Return the growth of the service's RSS in MB per step of `at`, over the last half.

    The slope of a least-squares line; 0 if there are fewer than three samples.
    """
    if not samples:
        return 0.0
    middle = (samples[0].at + samples[-1].at) / 2
    last = [sample for sample in samples if sample.at >= middle]
    if len(last) < 3:
        return 0.0
    steps = np.array([sample.at for sample in last])
    return float(np.polyfit(steps - steps[0], [sample.service.rss for sample in last], 1)[0])


def verdict(
    changes: Sequence[Sample], load: Sequence[Sample], warm: Held, end: Held
) -> tuple[bool, list[str]]:
    """Return whether the service has grown by `RULE`, with a sentence for each figure.

    `at` counts changes in `changes`, and seconds in `load`.
    """
    by_change, by_load = slope(changes) * 1000, slope(load) * 600
    files, threads = end.files - warm.files, end.threads - warm.threads
    found = [
        (by_change > _MB_PER_1000_CHANGES, f"RSS: {by_change:+.1f} MB in 1,000 changes"),
        (by_load > _MB_PER_10_MINUTES, f"RSS: {by_load:+.1f} MB in 10 minutes of load"),
        (files > _FEW, f"open files: {files:+d}"),
        (threads > _FEW, f"threads: {threads:+d}"),
    ]
    return any(grew for grew, _ in found), [
        f"{'GREW' if grew else 'steady'}: {sentence}" for grew, sentence in found
    ]


class Watch:
    """Samples a process and its descendants in a thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stopped = threading.Event()

    def now(self, at: float) -> Sample:
        """Take a sample."""
        return Sample(at, held(self._pid), sum(map(held, descendants(self._pid)), Held()))

    @contextmanager
    def sampling(self, at: Callable[[], float]) -> Iterator[list[Sample]]:
        """Add a sample to a list every two seconds while the block runs; `at` returns its place."""
        samples: list[Sample] = []

        def sample() -> None:
            while not self._stopped.wait(_EVERY_SECONDS):
                samples.append(self.now(at()))

        thread = threading.Thread(target=sample, daemon=True)
        self._stopped.clear()
        thread.start()
        try:
            yield samples
        finally:
            self._stopped.set()
            thread.join()


@contextmanager
def predicting(service: processes.Server, body: bytes, per_second: float) -> Iterator[list[int]]:
    """Predict at a fixed rate while the block runs; yield the count in a list of one.

    Raises BenchFailed at the end if any prediction failed.
    """
    count, failed, ended = [0], [], threading.Event()

    def send() -> None:
        client = service.client()
        try:
            for _ in send_at(client, body, per_second):
                count[0] += 1
                if ended.is_set():
                    return
        except (BenchFailed, OSError) as error:
            failed.append(error)
        finally:
            client.close()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield count
    finally:
        ended.set()
        thread.join()
    if failed:
        raise BenchFailed(f"a prediction failed: {failed[0]!r}")


def main() -> int:
    """Print the table and the verdict; return 1 if the service grew."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.soak", description=__doc__)
    parser.add_argument("--changes", type=int, default=1000, help="of the model in use")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load after them")
    asked = parser.parse_args()
    if asked.changes < 8 or asked.minutes < 0:
        parser.error("--changes must be 8 or more, --minutes 0 or more")
    write(f"{os.cpu_count()} cores, Python {platform.python_version()}.")

    def soak(folder: Path) -> int:
        idle = str(_IDLE_SECONDS)
        with processes.service(folder, None, children_idle_seconds=idle) as service:
            return _soak(service, asked.changes, asked.minutes * 60)

    return bounded(int(300 + asked.changes + asked.minutes * 60), soak)


def _soak(service: processes.Server, changes: int, seconds: float) -> int:
    client, watch = service.client(), Watch(service.pid)
    body = train_all(client, _MODELS)
    marks = [("trained", watch.now(0))]
    rates = {name: _rate(client, body, name) for name in reversed(_MODELS)}
    tell(f"one connection, requests/s: {rates}")
    slow, quick = min(rates.values()) / 2, rates["linear"] / 2

    done = 0
    with predicting(service, body, slow) as slow_count:
        for _ in range(_WARM_CHANGES):
            done = _change(client, done)
        time.sleep(_REST_SECONDS)
        marks.append(("warm", watch.now(0)))
        by_change: list[Sample] = []
        quarter = max(2, changes // 8 * 2)
        for count in range(1, changes + 1):
            done = _change(client, done)
            if count % _SAMPLED_CHANGES == 0 or count % quarter == 0:
                time.sleep(_REST_SECONDS)
                by_change.append(watch.now(count))
            if count % quarter == 0:
                marks.append((f"{count} changes", by_change[-1]))
                tell(marks[-1][0])
    start = time.monotonic()
    with (
        predicting(service, body, quick) as quick_count,
        watch.sampling(lambda: time.monotonic() - start) as by_load,
    ):
        while (left := start + seconds - time.monotonic()) > 0:
            time.sleep(min(120.0, left))
            minutes = (time.monotonic() - start) / 60
            marks.append((f"{minutes:.0f} min of load", watch.now(minutes * 60)))
            tell(marks[-1][0])
    grew, sentences = verdict(by_change, by_load, marks[1][1].service, watch.now(0).service)
    note = (
        f"{slow_count[0]} predictions, {slow:.0f} a second, beside {changes} changes; then "
        f"{quick_count[0]}, {quick:.0f} a second. MB of 10^6 bytes; others: the host of children "
        f"(which ends after {_IDLE_SECONDS} s without one) and its children. {RULE}"
    )
    columns = ["when", "RSS", "PSS", "files", "threads", "others", "PSS", "files", "PSS of all"]
    write(table("Soak", note, columns, [_row(*mark) for mark in marks]))
    write("\n".join(["", *sentences]))
    return int(grew)


def _row(when: str, sample: Sample) -> list[object]:
    own, others = sample.service, sample.others
    return [
        *(when, own.rss, own.pss, own.files, own.threads),
        *(others.processes, others.pss, others.files, own.pss + others.pss),
    ]


def _change(client: Client, done: int) -> int:
    client.ask("POST", "/use-model", {"name": _TURN[done % len(_TURN)]})
    return done + 1


def _rate(client: Client, body: bytes, name: str) -> float:
    """Put a model in use; return the requests per second that one connection reaches."""
    client.ask("POST", "/use-model", {"name": name})
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + _CLOSED_SECONDS:
        client.send("POST", "/predict", body)
        count += 1
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
