"""Messages that are almost HTTP/1.1, made by a grammar."""

import random
import struct
from collections.abc import Mapping

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
