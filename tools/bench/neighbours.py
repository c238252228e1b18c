"""Predictions beside misbehaving clients: `python -m tools.bench.neighbours`.

One client predicts at a fixed rate: alone, beside 500 connections that send half a request and then
nothing, and beside a key that sends ten times its permitted rate.
"""

import asyncio
import hashlib
import json
import statistics
import sys
import time
from pathlib import Path

from tests.support.tables import table, tell, write
from tools.bench import processes
from tools.bench.command import bounded
from tools.bench.crowd import Crowd, Outcome
from tools.bench.forest import load, train

_SILENT = 500
_SECONDS = 18.0
"""The idle timeout, which is 15 seconds by default, and the time to notice it."""
_PER_SECOND = 200
_LIMIT = 50
"""The permitted rate of the other key, per second."""
_HALVES = (
    b"",
    b"POST /predict HTTP/1.1\r\nhost: bench\r\n",
    b"POST /predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    b'content-length: 100\r\n\r\n{"instances": [',
)
"""Nothing, half a head and half a body, in turn."""


def main() -> int:
    """Print the table; return 1 if predictions suffered or a silent connection stayed open."""
    return bounded(180, _run)


def _run(folder: Path) -> int:
    keys = folder / "keys"
    keys.write_text(f"admin: {_digest('ours')}\npredict: {_digest('theirs')} {_LIMIT}/s\n")
    with processes.service(folder, None) as service:
        client = service.client()
        train(client, load())
        body = json.dumps(client.ask("GET", "/schema")["example"]).encode()
    with processes.service(folder, None, api_keys_file=str(keys)) as service:
        processes.wait_for(lambda: _is_ready(service), 30, "the model is not in use again")
        found, closed, flood = asyncio.run(_measure(service.port, body))
    rows: list[list[object]] = [
        [title, len(one.accepted), one.failed + len(one.refused), *_tail(one)]
        for title, one in found.items()
    ]
    columns = ["predictions", "answered", "not", "p50 ms", "p99 ms", "slowest ms"]
    late = f"after {max(closed):.1f} s" if len(closed) == _SILENT else "never, some of them"
    note = (
        f"{_PER_SECOND} a second, half of them on fresh connections. {_SILENT} silent connections: "
        f"the last of them was closed {late}. The key of {_LIMIT} a second sent "
        f"{flood.offered:,.0f}: {flood.goodput:.1f} were answered, {flood.failed} failed and the "
        "rest got 429."
    )
    write(table("Beside those who do harm", note, columns, rows))
    disturbed = any(one.failed or one.refused for one in found.values())
    return 1 if disturbed or flood.failed or len(closed) < _SILENT else 0


async def _measure(port: int, body: bytes) -> tuple[dict[str, Outcome], list[float], Outcome]:
    ours, theirs = Crowd(port, body, "ours"), Crowd(port, body, "theirs")
    await ours.at(_PER_SECOND, 2.0)
    found: dict[str, Outcome] = {}
    tell("alone")
    found["alone"] = await ours.at(_PER_SECOND, _SECONDS)
    tell("beside silent connections")
    silent = asyncio.gather(*(_wait(port, index) for index in range(_SILENT)))
    found["beside silent connections"] = await ours.at(_PER_SECOND, _SECONDS)
    closed = [seconds for seconds in await silent if seconds is not None]
    tell("beside a key that asks too often")
    flood = asyncio.create_task(theirs.at(10 * _LIMIT, _SECONDS))
    found["beside a key that asks too often"] = await ours.at(_PER_SECOND, _SECONDS)
    flooded = await flood
    ours.close()
    theirs.close()
    return found, closed, flooded


async def _wait(port: int, index: int) -> float | None:
    """Send half a request; return the seconds until the service closes, None if it does not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_HALVES[index % len(_HALVES)])
    start = time.perf_counter()
    try:
        async with asyncio.timeout(2 * _SECONDS):
            await reader.read()
    except (TimeoutError, ConnectionError):
        return None
    finally:
        writer.close()
    return time.perf_counter() - start


def _is_ready(service: processes.Server) -> bool:
    return service.client().is_ready("/readyz")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _tail(found: Outcome) -> tuple[float, float, float]:
    taken = sorted(seconds * 1e3 for seconds in found.accepted)
    return statistics.median(taken), taken[int(len(taken) * 0.99)], taken[-1]


if __name__ == "__main__":
    sys.exit(main())
