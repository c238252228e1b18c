"""The fast path and the ordinary path of `/predict` give the same bytes and the same counts."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.auth.api_keys import ApiKeys
from service.schema.contract import Feature, Schema
from tests.support.bodies import bodies, schemas
from tests.support.classifiers import FakeClassifier, predictor_of
from tests.support.scenes import JSON, KEY, ROW, comparable, request, serve_site
from tests.support.site import Site, predictor_for

TYPES = [JSON, b"Content-Type:application/json ", b"content-type: application/json; charset=utf-8",
         b"content-type: text/csv", b"Content-Type: Application/JSON", b"x-no-type: 1"]  # fmt: skip
OTHERS = [
    b"x-request-id: abc-1", b"X-Request-Id: second", b"x-request-id: not sane",
    b"x-request-id: ", b"content-encoding: gzip", b"content-encoding: identity",
    b"connection: close", b"connection: keep-alive", b"connection: upgrade\r\nupgrade: websocket",
    b"upgrade: h2c", b"authorization: Bearer x", b"x-api-key: k", b"x-min-epoch: 1",
    b"x-min-epoch: 2", b"x-min-epoch: x", b"expect: 100-continue", b"expect: else",
    b"accept: */*", b"user-agent: u", b"traceparent: 00-1-2-01", b"x-large: " + b"v" * 9000,
    b"x-larger: " + b"v" * 17_000,
]  # fmt: skip
LINES = [b"POST /predict HTTP/1.0", b"POST /predict?x=1 HTTP/1.1", b"POST /%70redict HTTP/1.1",
         b"PUT /predict HTTP/1.1", b"POST /predict/ HTTP/1.1", b"POST //predict HTTP/1.1",
         b"GET /predict HTTP/1.1", b"POST http://x/predict HTTP/1.1"]  # fmt: skip


@st.composite
def single_rows(draw: st.DrawFn, schema: Schema) -> bytes:
    """Return a body with one row that the schema takes."""

    def cell(feature: Feature) -> Any:
        if feature.nullable and draw(st.integers(0, 2)) == 0:
            return None
        if feature.type == "text":
            return draw(st.sampled_from(feature.categories))
        if feature.type == "boolean":
            return draw(st.booleans())
        return draw(st.one_of(st.floats(-10, 10), st.integers(-10, 10)))

    row = {feature.name: cell(feature) for feature in schema.features}
    more = {"probabilities": draw(st.booleans())} if draw(st.booleans()) else {}
    return json.dumps({"instances": [row], **more}, ensure_ascii=draw(st.booleans())).encode()


@st.composite
def requests(draw: st.DrawFn, schema: Schema, keyed: bool) -> bytes:
    """Return a request, usually a typical one, with a key if the service has keys."""
    body = draw(bodies(schema) if draw(st.integers(0, 3)) == 0 else single_rows(schema))
    if draw(st.integers(0, 9)) == 0:
        sizes = [30_000, 65_535, 65_536, 70_000]
        body += b" " * (draw(st.sampled_from(sizes)) - len(body))
    headers = [JSON]
    if draw(st.integers(0, 3)) == 0:
        headers = draw(st.lists(st.sampled_from(TYPES), max_size=2))
    headers += draw(st.lists(st.sampled_from(OTHERS), max_size=2))
    if keyed and draw(st.integers(0, 3)):
        headers.append(KEY)
    plain = b"POST /predict HTTP/1.1"
    line = draw(st.sampled_from([plain] * 10 + LINES))
    if draw(st.integers(0, 9)):
        return request(body, *draw(st.permutations(headers)), line=line)
    at = draw(st.integers(0, len(body)))
    parts = [part for part in (body[:at], body[at:]) if part]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    lines = [line, *headers, b"transfer-encoding: chunked", b"", chunks + b"0\r\nx-request-id: t"]
    return b"\r\n".join([*lines, b"", b""])


@dataclass(frozen=True)
class Segment:
    """Bytes that arrive on a connection, and whether the event loop's iteration ends after them."""

    connection: int
    data: bytes
    ends_turn: bool


@st.composite
def traffic(draw: st.DrawFn, schema: Schema, keyed: bool) -> list[Segment]:
    """Return what arrives on some connections, in any order and split anywhere."""
    streams = []
    for _ in range(draw(st.integers(1, 4))):
        parts = draw(st.lists(requests(schema, keyed), min_size=1, max_size=3))
        if draw(st.integers(0, 3)) == 0:
            parts = [b"".join(parts)]  # pipelined
        cut = []
        for part in parts:
            ends = sorted(draw(st.lists(st.integers(0, len(part)), max_size=2)))
            if draw(st.booleans()) and b"\r\n\r\n" in part:
                ends = [part.index(b"\r\n\r\n") + 4]  # head and body apart, as many clients do
            cut += [part[a:b] for a, b in zip([0, *ends], [*ends, len(part)], strict=True) if a < b]
        streams.append(cut)
    segments = []
    while left := [index for index, stream in enumerate(streams) if stream]:
        index = draw(st.sampled_from(left))
        segments.append(Segment(index, streams[index].pop(0), draw(st.booleans())))
    return segments


async def _play(site: Site, segments: Sequence[Segment]) -> tuple[list[bytes], Any, int]:
    connections = [site.connect() for _ in range(4)]
    spoke: set[int] = set()
    for segment in segments:
        protocol, transport = connections[segment.connection]
        if segment.connection in spoke:  # The event loop reads a connection once in each iteration.
            await site.settle()
            spoke.clear()
        if not transport.closing:
            protocol.data_received(segment.data)
            spoke.add(segment.connection)
        if segment.ends_turn:
            await site.settle()
            spoke.clear()
    await site.settle()
    written = [comparable(transport.written) for _, transport in connections]
    for protocol, transport in connections:
        transport.close()
        protocol.connection_lost(None)
    await site.settle()
    return written, site.counts(), site.state.total_requests


@settings(deadline=None)
@given(st.data(), st.booleans())
def test_both_paths_give_the_same_bytes_and_counts_for_all_requests(
    keys: ApiKeys, data: st.DataObject, keyed: bool
) -> None:
    schema = data.draw(schemas())
    segments = data.draw(traffic(schema, keyed))
    predictor = predictor_for(schema)
    its = keys if keyed else None

    async def play(site: Site) -> list[Any]:
        # The second time, all heads are in the cache.
        return [await _play(site, segments) for _ in range(2)]

    ordinary = serve_site(predictor, play, keys=its, short_way=False)
    assert serve_site(predictor, play, keys=its) == ordinary


def test_what_a_slow_model_has_no_thread_for_is_refused_alike_and_without_a_scope() -> None:
    async def scene(site: Site) -> Any:
        with ExitStack() as places:
            while not site.predict.answering.admission.is_full(60.0, 1):
                places.enter_context(site.predict.answering.admission.admit(60.0, 1))
            sent = request(ROW, JSON, b"x-request-id: mine") + request(b"what it is, nobody reads")
            last = request(ROW, JSON, b"connection: close")
            segments = [Segment(0, sent, False), Segment(1, last, False)]
            written, counts, answered = await _play(site, segments)
        assert [text.count(b"503 Service Unavailable") for text in written] == [2, 1, 0, 0]
        return written, counts, answered, site.scopes

    predictor = predictor_of(FakeClassifier(), 2)
    predictor.slow = True
    *ordinary, scopes = serve_site(predictor, scene, short_way=False)
    assert scopes == 3
    assert serve_site(predictor, scene) == (*ordinary, 0)
