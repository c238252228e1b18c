"""Sends messages that are almost HTTP/1.1 to the real server, which must survive them all.

`python -m tests.fuzz.raw --seed 1 --messages 20000`: a grammar makes valid and invalid requests;
each may be cut, duplicated or changed in some bytes, and is sent in one or more pieces. It
reports: a 5xx other than the 503 of a full service, an answer that is not HTTP, a connection that
is neither answered nor closed in time, a probe that fails, or open files that stay.
"""

import argparse
import contextlib
import json
import random
import re
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

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

_ROW = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
_TENSOR = b'{"name": "x", "shape": [1, 4], "datatype": "FP64", '
_HEAD = b'{"inputs": [%b"parameters": {"binary_data_size": 32}}]}' % _TENSOR
_BINARY = _HEAD + struct.pack("<4d", 5.1, 3.5, 1.4, 0.2)
_INFER = b"/v2/models/iris/infer"
_BODIES: Mapping[bytes, bytes] = {
    _INFER: b'{"inputs": [%b"data": [5.1, 3.5, 1.4, 0.2]}]}' % _TENSOR,
    b"/invocations": _ROW,
    b"/v1/models/iris:predict": _ROW,
    b"/models/iris/versions/1/predict": _ROW,
}
_HEAD_BYTES = (b"0", b"-1", b"+5", b"1e2", b"", b"5, 6", b"99999999999", b"\xb2", b"1\r\nX: 1")
_METHODS = (b"GET", b"POST", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"PUT",
            b"PRI", b"FOO", b"get", b"", b"P\x00ST", b"\xff")  # fmt: skip
_PATHS = (b"/predict", b"/predict", b"/predict", b"/healthz", b"/schema", b"/models", b"/use-model",
          b"/datasets?name=raw", b"/predict?probabilities=true", b"/", b"*", b"//predict", b"/%00",
          b"/..%2f..", b"http://x/predict", b"/models/%ff/versions/1", b"", b"/\xe9",
          b"/?" + b"a" * 9000, b"/predict#f", b"x:80", b"/trainings/" + b"0" * 32)  # fmt: skip
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9",
             b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 ", b"HTTP/11", b"", b"ICE/1.0")  # fmt: skip
_ENDS = (b"\r\n",) * 12 + (b"\n", b"\r", b"\n\r", b"\r\r\n", b"\0", b"")
_HEADERS = (
    b"Host: x", b"Host: x", b"Host:", b"Host: a\r\nHost: b", b"Connection: close",
    b"Connection: keep-alive", b"Connection: upgrade\r\nUpgrade: h2c", b"Upgrade: websocket",
    b"Expect: 100-continue", b"Expect: nonsense", b"X-Request-ID: 1", b"X-Request-ID: \xff",
    b"X-Min-Epoch: 999", b"X-Min-Epoch: -1", b"Accept: text/csv", b"Content-Encoding: gzip",
    b"Content-Type: text/csv", b"Content-Type: text/plain", b"Content-Type:",
    b"Content-Type: multipart/form-data; boundary=x", b"Authorization: Bearer x", b" folded: 1",
    b"no colon", b": no name", b"Sp ace: 1", b"X: \0", b"X:" + b" " * 3000, b"X: " + b"y" * 17000,
    b"Trailer: x", b"TE: trailers", b"Idempotency-Key: k", b"Content-Length : 5", b"X\t: 1",
)  # fmt: skip
_LENGTHS = (b"0", b"-1", b"+5", b"5, 5", b"5, 6", b"0x5", b"1e3", b"", b" 5 ",
            b"99999999999999999999", b"18446744073709551616",
            b"5\r\nContent-Length: 6", b"\xb2")  # fmt: skip
_CODINGS = (b"chunked", b"chunked", b"Chunked", b"gzip, chunked", b"chunked, chunked", b"identity",
            b"xchunked", b"chunked\r\nContent-Length: 3", b"\x0bchunked", b"")  # fmt: skip
_SIZES = (b"0", b"-1", b"zz", b"", b"5;ext=1", b"5 ", b"ffffffffffffffff", b"10000000000000000",
          b"0x5", b"5;" + b"e" * 5000)  # fmt: skip


class Grammar:
    """Makes messages, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def message(self) -> bytes:
        """Return the bytes of one connection: one or more requests, possibly mutated."""
        count = 1 if self._often(0.7) else self._random.randint(2, 4)
        data = b"".join(self._request() for _ in range(count))
        return data if self._often(0.5) else self._mutated(data)

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut bytes into the pieces to send."""
        if self._often(0.6) or len(data) < 2:
            return [data]
        count = min(len(data) - 1, self._random.randint(1, 4))
        cuts = sorted(self._random.sample(range(1, len(data)), count))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _often(self, share: float) -> bool:
        return self._random.random() < share

    def _one(self, choices: tuple[bytes, ...], plain: bytes, share: float = 0.85) -> bytes:
        return plain if self._often(share) else self._random.choice(choices)

    def _end(self) -> bytes:
        return self._one(_ENDS, b"\r\n", 0.97)

    def _request(self) -> bytes:
        path = self._random.choice((*_PATHS, *_BODIES, _INFER, _INFER))
        predicts = path in _BODIES or path.startswith(b"/predict")
        method = self._one(_METHODS, b"POST" if predicts else b"GET")
        line = b" ".join((method, path, self._one(_VERSIONS, b"HTTP/1.1", 0.9)))
        headers = [self._one(_HEADERS, b"Content-Type: application/json")]
        headers += [self._random.choice(_HEADERS) for _ in range(self._random.choice((0, 0, 1, 3)))]
        content = _BODIES.get(path, _ROW)
        if path == _INFER and self._often(0.5):
            content = _BINARY
            length = self._one(_HEAD_BYTES, b"%d" % len(_HEAD))
            headers.append(b"Inference-Header-Content-Length: " + length)
        framing, body = self._body(content)
        headers += framing
        self._random.shuffle(headers)
        lines = [line, *headers]
        return b"".join(part + self._end() for part in lines) + self._end() + body

    def _body(self, plain: bytes) -> tuple[list[bytes], bytes]:
        """Return the headers that frame a body, and the body, often the plain one."""
        body = self._content(plain)
        kind = self._random.random()
        if kind < 0.45:
            return [b"Content-Length: %d" % len(body)], body
        if kind < 0.55:
            return [b"Content-Length: " + self._random.choice(_LENGTHS)], body
        if kind < 0.65:
            wrong = max(0, len(body) + self._random.randint(-5, 5))
            return [b"Content-Length: %d" % wrong], body
        if kind < 0.85:
            return [b"Transfer-Encoding: " + self._one(_CODINGS, b"chunked")], self._chunks(body)
        return [], body if self._often(0.3) else b""

    def _content(self, plain: bytes) -> bytes:
        choice = self._random.random()
        if choice < 0.6:
            return plain
        if choice < 0.8:
            return self._mutated(plain)
        return self._random.randbytes(self._random.choice((0, 1, 10, 1000, 70_000)))

    def _chunks(self, body: bytes) -> bytes:
        sent = b""
        for piece in self.pieces(body):
            size = self._one(_SIZES, b"%x" % len(piece), 0.95)
            sent += size + self._end() + piece + self._end()
        trailer = self._one(_HEADERS, b"", 0.9)
        last = self._one((b"", b"0", b"00"), b"0", 0.9)
        return sent + last + self._end() + (trailer + self._end() if trailer else b"") + self._end()

    def _mutated(self, data: bytes) -> bytes:
        for _ in range(self._random.randint(1, 3)):
            at = self._random.randint(0, len(data))
            to = min(len(data), at + self._random.choice((1, 1, 2, 8, 100)))
            change = self._random.randint(0, 4)
            if change == 0:
                data = data[:at]
            elif change == 1:
                data = data[:at] + data[to:]
            elif change == 2:
                data = data[:to] + data[at:]
            elif change == 3:
                data = data[:at] + self._random.randbytes(to - at) + data[to:]
            else:
                data = data[:at] + self._random.choice(_ENDS) + data[at:]
        return data


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
