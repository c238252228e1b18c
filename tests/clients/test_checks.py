import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.__main__ import CLIENTS, Result, report
from tests.clients.checks import close, equal, raises

ROOT = Path(__file__).parents[2]

MODEL = {
    "name": "m",
    "version": "1",
    "features": ["a"],
    "types": ["number"],
    "rows": [[1.0]],
    "labels": ["x"],
    "probabilities": [[1.0]],
}

SCRIPT = """
from tests.clients.checks import Checks, equal
checks = Checks()

@checks.add
def a_plain_one(site):
    equal(site.iris.columns(), {"a": [1.0]})

@checks.add
async def one_that_waits(site):
    equal(site.url, EXPECTED)

checks.leave_out("this", "that")
checks.main()
"""


@pytest.mark.parametrize(("expected", "code", "failed"), [
    ("http://x", 0, []), ("http://y", 1, ["one that waits"]),
])  # fmt: skip
def test_a_script_tells_what_passed_failed_and_was_left_out(
    tmp_path: Path, expected: str, code: int, failed: list[str]
) -> None:
    site, script = tmp_path / "site.json", tmp_path / "script.py"
    site.write_text(json.dumps({"url": "http://x", "iris": MODEL, "mixed": MODEL}))
    script.write_text(SCRIPT.replace("EXPECTED", repr(expected)))
    ended = subprocess.run(
        [sys.executable, script, site],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == code, ended.stderr
    counts = json.loads(ended.stdout.splitlines()[-1])
    assert counts == {
        "passed": 2 - len(failed), "failed": failed, "left_out": {"this": "that"}
    }  # fmt: skip


def test_raises_demands_the_error_and_its_words() -> None:
    with raises(ValueError, "word") as caught:
        raise ValueError("a word")
    assert str(caught[0]) == "a word"

    with pytest.raises(AssertionError, match="no ValueError"), raises(ValueError):
        pass
    with pytest.raises(AssertionError, match="is not in"), raises(ValueError, "other"):
        raise ValueError("a word")
    with pytest.raises(TypeError), raises(ValueError):
        raise TypeError


@pytest.mark.parametrize("got", [[[0.1, 0.8]], [[0.1]], [], [[0.1, 0.9], [0.1, 0.9]]])
def test_close_tells_lists_apart(got: Any) -> None:
    close([[0.1, 0.9]], [[0.1, 0.9]])
    with pytest.raises(AssertionError):
        close(got, [[0.1, 0.9]])


def test_equal_shows_both() -> None:
    with pytest.raises(AssertionError, match="1 is not 2"):
        equal(1, 2)


def test_the_report_names_what_failed_and_what_was_left_out() -> None:
    text = report({"one": Result(3, ["a check"], {"this": "that"})})

    assert "| one    | 3      | 1      | 1        |" in text
    assert "one: failed: a check" in text
    assert "one: left out: this: that" in text


def test_every_client_has_a_script_and_a_lock() -> None:
    folder = ROOT / "tests" / "clients"
    for script in CLIENTS.values():
        assert (folder / f"{script.name}.py").exists()
        parent, name = script.environment.split("/")
        lock = {".clients": folder, ".peers": ROOT / "tools" / "bench" / "peers"}[parent]
        assert (lock / f"{name}.txt").exists()
