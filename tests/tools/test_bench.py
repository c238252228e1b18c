import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.tables import number, table
from tests.support.waiting import wait_until
from tools.bench import processes
from tools.bench.check import BOUNDS, Bound, judge
from tools.bench.client import BenchFailed
from tools.bench.forest import Forest
from tools.bench.limit import constant
from tools.bench.load import read_counts
from tools.bench.many_rows import Rates
from tools.bench.models import cell
from tools.bench.peers.servers import PEERS, SERVICE, version, versions


@pytest.mark.slow
def test_without_wrk_a_sentence_tells_how_to_install_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tools.bench", "--part", "one-row"],
        env={**os.environ, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 1
    assert ended.stderr == "wrk is not installed; on Debian: apt-get install wrk\n"


def test_the_limit_reads_the_whole_body_and_gives_the_same_bytes() -> None:
    parts = [{"body": b"a", "more_body": True}, {"body": b"b", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> dict[str, object]:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(constant(b"reply")({}, receive, send))

    assert not parts
    assert (b"content-length", b"5") in sent[0]["headers"]
    assert sent[1]["body"] == b"reply"


def test_figures_keep_three_significant_digits() -> None:
    assert [number(v) for v in (33_012.4, 1.0, 0.41512, 0.00741)] == [
        "33,012",
        "1",
        "0.415",
        "0.0074",
    ]


def test_a_table_is_markdown() -> None:
    lines = table("Heading", "A note.", ["what", "ms"], [["a", 1.5], ["bcdef", 20]]).splitlines()

    assert lines[1] == "## Heading"
    assert lines[-4:] == [
        "| what  | ms  |",
        "| ----- | --- |",
        "| a     | 1.5 |",
        "| bcdef | 20  |",
    ]


_FAST = Bound("one row", "the limit's requests/s", "noise", least=1.1)
_SMALL = Bound("memory", "the handler's memory", "noise", most=1.6)


def test_the_check_is_silent_where_every_ratio_keeps_its_bound() -> None:
    assert judge({"one row": 1.1, "memory": 1.6}, (_FAST, _SMALL)) == []


def test_the_check_names_what_regressed_with_its_ratio_and_its_bound() -> None:
    assert judge({"one row": 0.9, "memory": 2.25}, (_FAST, _SMALL)) == [
        "Regressed: one row: 0.9 times the limit's requests/s, where it must be at least 1.1.",
        "Regressed: memory: 2.25 times the handler's memory, where it must be at most 1.6.",
    ]


def test_the_check_fails_if_a_figure_is_missing_or_not_a_number() -> None:
    assert judge({"memory": float("nan")}, (_FAST, _SMALL)) == [
        "Not measured: one row.",
        "Regressed: memory: nan times the handler's memory, where it must be at most 1.6.",
    ]


def test_every_bound_has_one_side_and_a_reason_and_a_name_of_its_own() -> None:
    assert all((bound.least == -np.inf) != (bound.most == np.inf) for bound in BOUNDS)
    assert all(bound.reason for bound in BOUNDS)
    assert len({bound.what for bound in BOUNDS}) == len(BOUNDS)


def test_rates_are_compared_by_round_or_by_the_fastest_call() -> None:
    alone, ours = "scikit-learn, array", "service, objects"
    rates = Rates(
        1000, {alone: [100, 200, 400], ours: [100, 100, 100]}, {ours: 9}, {alone: 0.25, ours: 0.5}
    )

    assert rates.ratio(ours) == 0.5
    assert rates.best_ratio(ours) == 0.5


_COUNTS = {"requests": 100, "us": 2_000_000, "p50_us": 5, "p99_us": 9, "refused": 60, "errors": 0}


def test_a_load_counts_only_what_was_answered() -> None:
    load = read_counts("row", _COUNTS, used=0.2, may_refuse=True)

    assert load.per_second == 20
    assert load.refused == 0.6
    assert load.processor_us == pytest.approx(5000)


@pytest.mark.parametrize(
    ("changes", "may_refuse"), [({}, False), ({"errors": 1}, True), ({"refused": 100}, True)]
)
def test_an_unexpected_failure_in_a_load_fails_the_measurement(
    changes: dict[str, int], may_refuse: bool
) -> None:
    with pytest.raises(BenchFailed, match=r"^row: "):
        read_counts("row", _COUNTS | changes, used=0.2, may_refuse=may_refuse)


def test_stopping_a_server_ends_processes_that_its_launcher_leaves_behind(tmp_path: Path) -> None:
    worker = "import time; print('up', flush=True); time.sleep(60)"
    launcher = (
        "import subprocess, sys, time\n"
        f"worker = subprocess.Popen([sys.executable, '-c', {worker!r}])\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "server.log"
    with processes.running([sys.executable, "-c", launcher], log, None, port=1):
        wait_until(lambda: "up" in log.read_text())
        pid = int(log.read_text().split()[0])

    wait_until(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_peer_is_sent_the_rows_and_its_labels_are_found() -> None:
    forest = Forest(["a", "b"], np.zeros((0, 2)), np.zeros(0))
    rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    named = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}]
    bodies = {peer.environment: peer.api.body(forest, rows) for peer in PEERS}
    replies: dict[str, object] = {
        "mlserver": {"outputs": [{"data": ["x", "y"]}]},
        "bentoml": ["x", "y"],
        "mlflow": {"predictions": ["x", "y"]},
    }

    assert SERVICE.body(forest, rows) == {"instances": named}
    assert bodies["mlserver"]["inputs"][0]["data"] == rows.tolist()
    assert bodies["bentoml"] == {"rows": rows.tolist()}
    assert bodies["mlflow"] == {"dataframe_split": {"columns": ["a", "b"], "data": rows.tolist()}}
    assert all(peer.api.labels(replies[peer.environment]) == ["x", "y"] for peer in PEERS)


def test_the_version_of_a_peer_is_the_pinned_one() -> None:
    pins = "mlserver-sklearn==2.0 \\\n    --hash=sha256:0\nmlserver==1.7.1 ; x < '3' \\\n"

    assert version("mlserver", pins) == "1.7.1"
    assert set(versions()) == {"bentoml", "mlflow", "mlserver"}


def test_a_cell_is_sent_as_json_has_it() -> None:
    assert cell(1.0, "boolean") is True
    assert cell(1.0, "number") == 1.0
    assert cell(float("nan"), "boolean") is None
    assert cell(None, "text") is None
