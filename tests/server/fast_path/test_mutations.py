"""Valid requests of other protocols with some bytes changed: answered, alike on both paths."""

import json
import re
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.schema.contract import Feature, Schema
from tests.server.fast_path.test_protocols import FAST, ORDINARY, SCHEMA
from tests.support.scenes import ask, comparable, serve_site
from tests.support.site import Site, predictor_for

MIXED = Schema(
    (
        Feature("x", "number", nullable=True),
        Feature("y:z", "text", nullable=True, categories=("q", "a:b"), missing_code=-1),
    ),
    (1, 2),
)
SCHEMAS = (SCHEMA, MIXED)

COLUMNS: list[dict[str, Any]] = [
    {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]},
    {"name": "y:z", "shape": [1, 1], "datatype": "BYTES", "data": ["a:b"]},
]
PARTS = [
    *(b'"', b"\\", b":", b",", b"[", b"]", b"{", b"}", b"null", b"true", b"NaN", b"1e999", b"-0"),
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\\u0000", b"\\ud800", b'"data":[1,2],', b"[[[["),
    *(b"9" * 400, b'"id":"1",', b'"shape":[1,2],', b'"datatype":"FP32",', b'"parameters":{"a":1},'),
    *(b'"outputs":[{"name":"predict_proba"}],', b'"parameters":{"binary_data_output":true},'),
]  # fmt: skip
NUMBERS = [b"-0.0", b"5e-324", b"1e51", b"1e308", b"101", b"1", b"2", b"0", b"1.0", b"null", b"1E2"]
_PAIR = re.compile(rb'"[a-z_]+": ?(?:"[^"]*"|\[[^\[\]{}]*\]|[0-9]+)')
_NUMBER = re.compile(rb"(?<=[\[ ])-?[0-9][0-9.]*(?=[,\]}])")
_MARK = re.compile(rb"[{,\[:]")
HEAD = b"inference-header-content-length: "


def _sent(head: bytes, body: bytes, length: int | None = None) -> bytes:
    """Return a request with this body; `length` is that of the JSON before binary tensors."""
    lines = [
        line
        for line in head.split(b"\r\n")
        if not line.lower().startswith((b"content-length:", HEAD))
    ]
    if length is not None:
        lines.append(HEAD + b"%d" % length)
    return b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", body])


def _of_columns() -> list[bytes]:
    """Return requests by column, in JSON and with binary tensors."""
    line = b"POST /v2/models/m/infer HTTP/1.1"
    text = json.dumps({"inputs": COLUMNS}).encode()
    tails = [struct.pack("<d", 1.5), b"\3\0\0\0a:b"]
    inputs = [
        {**tensor, "parameters": {"binary_data_size": len(tail)}}
        for tensor, tail in zip(COLUMNS, tails, strict=True)
    ]
    for tensor in inputs:
        del tensor["data"]
    head = json.dumps({"inputs": inputs}).encode()
    return [_sent(line, text), _sent(line, head + b"".join(tails), len(head))]


VALID = [
    *FAST.values(),
    *(one for one in ORDINARY.values() if b"invocations" in one),
    *_of_columns(),
]


@st.composite
def changes(draw: st.DrawFn, body: bytes) -> tuple[int, int, bytes]:
    """Return where a body is changed, and what stands there then; some keep it valid."""
    kind = draw(st.integers(0, 3))
    found = list((_PAIR if kind == 0 else _NUMBER if kind == 1 else _MARK).finditer(body))
    if kind == 3 or not found:
        at = draw(st.integers(0, len(body)))
        to = min(len(body), at + draw(st.sampled_from([0, 0, 1, 2, 4, 8, 30])))
        part = st.one_of(st.sampled_from(PARTS), st.binary(max_size=3), st.just(body[at:to] * 2))
        return at, to, draw(part)
    one = draw(st.sampled_from(found))
    if kind == 0:  # a key twice
        return one.start(), one.start(), one[0] + b","
    if kind == 1:
        return *one.span(), draw(st.sampled_from(NUMBERS))
    return one.end(), one.end(), draw(st.sampled_from([b" ", b"\n", *PARTS]))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a request whose body, and the length of its JSON, were changed."""
    head, _, body = draw(st.sampled_from(VALID)).partition(b"\r\n\r\n")
    length = None
    for line in head.split(b"\r\n"):
        if line.lower().startswith(HEAD) and line[len(HEAD) :].strip().isdigit():
            length = int(line[len(HEAD) :])
    for _ in range(draw(st.integers(0, 2))):
        at, to, part = draw(changes(body))
        if length is not None and at < length and draw(st.integers(0, 5)):
            length += len(part) - (to - at)
        body = body[:at] + part + body[to:]
    return _sent(head, body, length if length is None else max(0, length))


def _outcome(written: bytes) -> tuple[int, bytes]:
    head, _, body = written.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


@settings(deadline=None)
@given(st.sampled_from(SCHEMAS), st.lists(mutated(), min_size=4, max_size=12))
def test_changed_bytes_are_answered_by_a_row_or_an_envelope_alike_on_both_paths(
    schema: Schema, requests: list[bytes]
) -> None:
    async def scene(site: Site) -> list[bytes]:
        written = []
        for one in [*requests, *requests]:  # heads are cached the second time
            ((_, transport),) = ask(site, one)
            await site.settle()
            written.append(comparable(transport.written))
        return written

    predictor = predictor_for(schema)
    written = serve_site(predictor, scene)

    assert written == serve_site(predictor, scene, short_way=False)
    for one, answer in zip([*requests, *requests], written, strict=True):
        status, body = _outcome(answer)
        assert status == 200 or 400 <= status < 500, (one, answer)
        if status != 200:
            members = json.loads(body)
            assert {"error"} == set(members) or {"error_code", "message"} <= set(members)
