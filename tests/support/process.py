"""The service as a process of its own, for tests that end, limit or inspect it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import Client
from tests.support.waiting import wait_until

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """Return the environment variables of a service whose data folder is `folder`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERVICE_")}
    chosen = {"data_dir": folder, "port": 0, **settings}
    return {**kept, **{f"SERVICE_{key.upper()}": str(value) for key, value in chosen.items()}}


@contextmanager
def service_process(
    folder: Path, **settings: object
) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    """Run the service while the block runs; then end it by SIGTERM if it still runs."""
    with log_of(folder).open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"], env=environment(folder, **settings), stderr=log
        )
    try:
        address = wait_until(lambda: _address(folder, process))
        with Client(base_url=address, timeout=60) as client:
            assert client.get("/healthz").status_code == 200
            yield process, client
    finally:
        ended = process.poll() is not None
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
    assert ended or code == 0, code


def fail_to_start(folder: Path, **settings: object) -> str:
    """Start the service, expect it to fail, and return its output."""
    ended = subprocess.run(
        [sys.executable, "-m", "service"],
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str | None:
    """Return the address that a process logs once it listens."""
    for line in log_of(folder).read_text().splitlines():
        if "listening on" in line:
            message: str = json.loads(line)["message"]
            return message.split()[2].rstrip(";")
    assert process.poll() is None, log_of(folder).read_text()
    return None


def log_of(folder: Path) -> Path:
    """Return the file with the standard error of the most recent process."""
    return folder.with_suffix(".log")


def is_ready(client: Client) -> bool:
    """Return whether the service serves the newest model in use."""
    return client.get("/readyz").status_code == 200


def descendants(pid: int) -> list[int]:
    """Return the ids of all descendants of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found
