"""The release's own Helm tests, and the notes that Helm prints."""

import re
import subprocess
import time

import httpx
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Note
from tests.e2e.waiting import wait_until


def test_helm_test_passes(release: Cluster, note: Note) -> None:
    """The chart has test pods, and all of them succeed."""
    start = time.monotonic()
    said = release.helm("test", release.release, "--logs", "--timeout", "3m", seconds=200)
    note(f"{time.monotonic() - start:.0f} s")
    phases = re.findall(r"^Phase:\s+(\w+)", said, re.MULTILINE)
    assert phases, said
    assert set(phases) == {"Succeeded"}, said


@pytest.mark.usefixtures("iris")
def test_the_notes_hold_a_prediction_to_paste(release: Cluster) -> None:
    """The notes' port-forward and curl commands, pasted unchanged, give a class."""
    notes = release.helm("get", "notes", release.release)
    forward = command(notes, r"kubectl .*port-forward ")
    predict = command(notes, r"curl .*/predict")
    port = re.search(r"(?:localhost|127\.0\.0\.1):(\d+)/predict", predict)
    assert port, predict
    with subprocess.Popen(["bash", "-c", f"exec {forward}"], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until("the port-forward of the notes", lambda: listens(int(port[1])), 20)
            answered = subprocess.run(
                ["bash", "-c", predict], capture_output=True, text=True, timeout=30, check=False
            )
        finally:
            process.terminate()
    assert answered.returncode == 0, answered.stderr
    assert '"predictions":["' in answered.stdout, answered.stdout


def command(notes: str, pattern: str) -> str:
    """Return the first matching command with its continuation lines, without a prompt."""
    joined = re.sub(r"\\\n\s*", "", notes)
    lines = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
    found = [line.removesuffix("&").strip() for line in lines if re.match(pattern, line)]
    assert found, f"the notes have no {pattern!r}:\n{notes}"
    return found[0]


def listens(port: int) -> bool:
    """Return whether the service answers on a local port."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).is_success
    except httpx.TransportError:
        return False
