"""Sends messages that are almost HTTP/1.1 to the real server, which must survive them all.

`python -m tests.fuzz.raw --seed 1 --messages 20000`: a grammar makes valid and invalid requests;
each may be cut, duplicated or changed in some bytes, and is sent in one or more pieces. It
reports: a 5xx other than the 503 of a full service, an answer that is not HTTP, a connection that
is neither answered nor closed in time, a probe that fails, or open files that stay.
"""

import argparse
import contextlib
import json
import re
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.grammar import Grammar
from tests.support.memory import held
from tests.support.tables import tell
from tools.bench import processes

IDLE_SECONDS = 1.0
"""How long the server under test waits for the rest of a request."""

_DEADLINE_SECONDS = 10.0
"""A connection is closed after this time: first a head is awaited, then a body."""

_FILES = 4
"""Permitted additional open files at the end: pools and files of SQLite."""

_TRIES = 200


@dataclass(slots=True)
class Found:
    """The results of a run."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def count(self, answers: list[int]) -> None:
        """Count the answers on a connection, or the lack of one."""
        self.statuses.update([str(status) for status in answers] or ["closed"])

    def fault(self, number: int, message: bytes, what: str) -> None:
        """Record what was wrong with the answer to a message."""
        self.faults.append(f"message {number}: {what}: {message[:400]!r}")


_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def statuses(reply: bytes, message: bytes) -> list[int]:
    """Return the status of each answer in the bytes received; raise ValueError if malformed.

    Every reply has a Content-Length. A HEAD is answered without a body, so if the message
    may contain one, only the first status is read.
    """
    found: list[int] = []
    while reply:
        start = _STATUS.match(reply)
        head, blank, rest = reply.partition(b"\r\n\r\n")
        if start is None or not blank:
            raise ValueError(f"no HTTP: {reply[:100]!r}")
        found.append(int(start[1]))
        if b"HEAD" in message:
            break
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            raise ValueError(f"an answer that is cut off: {reply[:100]!r}")
        reply = rest[size:]
    return found


def talk(port: int, pieces: list[bytes], seconds: float) -> bytes:
    """Send pieces; return all that comes back until the server closes.

    Raises TimeoutError if the server does not close within this many seconds.
    """
    deadline = time.monotonic() + seconds
    received = b""
    with _connection(port, seconds) as connection:
        _send(connection, pieces)
        with contextlib.suppress(ConnectionError):
            while True:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                chunk = connection.recv(65536)
                if not chunk:
                    break
                received += chunk
    return received


def _connection(port: int, seconds: float) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _send(connection: socket.socket, pieces: list[bytes]) -> None:
    # A connection that is refused early is closed before all of it is sent.
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)


def _leave(port: int, pieces: list[bytes], rudely: bool) -> None:
    """Send pieces and disconnect without waiting for an answer, by a reset or normally."""
    with _connection(port, 5) as connection:
        if rudely:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        _send(connection, pieces)


_LAST = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

_RUBBISH = b"\r\n\r\n" + b"\0" * 1013


def probe(port: int) -> str:
    """Probe the server on a new connection; return what is wrong, or an empty text."""
    try:
        reply = talk(port, [_LAST], 5)
    except OSError as error:
        return f"{type(error).__name__} {error}"
    return "" if reply.endswith(b'{"status":"ok"}') else repr(reply[:200])


def _try(port: int, found: Found, number: int, message: bytes, pieces: list[bytes]) -> None:
    """Send a message, usually followed by a request that closes the connection."""
    try:
        if number % 10 == 9:
            _leave(port, pieces, rudely=number % 20 == 9)
            answers: list[int] = []
        else:
            # Without a following request, a keep-alive connection would stay open.
            last = [_LAST] if number % 10 else [_RUBBISH]
            answers = statuses(talk(port, [*pieces, *last], _DEADLINE_SECONDS), message)
    except TimeoutError:
        found.fault(number, message, "the connection is still open")
        return
    except (OSError, ValueError) as error:
        found.fault(number, message, str(error))
        return
    found.count(answers)
    for status in answers:
        if status >= 500 and status != 503:
            found.fault(number, message, f"answered {status}")
    if wrong := probe(port):
        found.fault(number, message, f"after it /healthz is answered by {wrong}")


def _messages(seed: int, count: int) -> Iterator[tuple[int, bytes, list[bytes]]]:
    grammar = Grammar(seed)
    for number in range(count):
        message = grammar.message()
        yield number, message, grammar.pieces(message)


def attack(port: int, seed: int, count: int, at_once: int = 32) -> Found:
    """Send this many messages, some concurrently; return the results."""
    found = Found()
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(_try, port, found, *one) for one in _messages(seed, count)]
        for job in jobs:
            job.result()
    return found


def _fill_pools(port: int) -> None:
    """Make the service open its maximum number of connections to the store, which stay open."""
    version_list = b"GET /models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda _: talk(port, [version_list], 30), range(400)))


def files_return(files: Callable[[], int], before: int, seconds: float = 20) -> int:
    """Wait until no more files are open than before; return the number of additional ones."""
    deadline = time.monotonic() + seconds
    while (more := files() - before) > _FILES and time.monotonic() < deadline:
        time.sleep(0.1)
    return more


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[processes.Server]:
    with processes.service(folder, None, idle_seconds=str(IDLE_SECONDS)) as server:
        client = server.client()
        client.ask("POST", "/train", {"dataset": "iris", "model_type": "LogisticRegression"})
        client.close()
        yield server


def main() -> int:
    """Run it against a separate service; return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--messages", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, _service(Path(name)) as server:
        attack(server.port, options.seed + 1, _TRIES)
        _fill_pools(server.port)
        before = held(server.pid).files
        found = attack(server.port, options.seed, options.messages)
        more = files_return(lambda: held(server.pid).files, before)
        server.require_life()
    for fault in found.faults[:20]:
        tell(fault)
    if more > _FILES:
        tell(f"{more} files are still open")
    answers = json.dumps(dict(sorted(found.statuses.items())))
    tell(
        f"raw HTTP: seed {options.seed}, {options.messages:,} messages, "
        f"{len(found.faults)} faults, open files {more:+d}, answers {answers}"
    )
    return 1 if found.faults or more > _FILES else 0


if __name__ == "__main__":
    sys.exit(main())
