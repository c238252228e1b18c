import asyncio
import os
import subprocess
import sys
from typing import Any

from bench.limit import constant
from bench.tables import number, table


def test_without_wrk_a_sentence_tells_how_to_install_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "--part", "one-row"],
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


def test_figures_keep_three_digits_that_count() -> None:
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
