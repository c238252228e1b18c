"""The short way of `/predict` beside the ordinary one: nobody can tell which one answered."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.answers import DEFECT
from service.keys import Keys
from service.predictor import Predictor
from service.schema import Feature, Schema
from tests.site import FakeTransport, Site, predictor_for
from tests.test_decoder import bodies, schemas
from tests.test_predictor import FakeClassifier, predictor_of

SCHEMA = Schema((Feature("x", "number"), Feature("y", "number")), ("a", "b"))
ROW = b'{"instances": [[1.5, 2]]}'
JSON = b"content-type: application/json"
KEY = b"authorization: Bearer mine"


def request(
    body: bytes = ROW,
    *headers: bytes,
    line: bytes = b"POST /predict HTTP/1.1",
) -> bytes:
    """Write a request."""
    lines = [line, b"host: x", *(headers or (JSON,)), b"content-length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def serve_site(predictor: Predictor | None, scene: Callable[[Site], Coroutine[Any, Any, Any]],
           **changes: Any) -> Any:  # fmt: skip
    async def run() -> Any:
        site = Site(predictor, **changes)
        try:
            return await scene(site)
        finally:
            site.close()

    return asyncio.run(run())


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
    """Give a body with one row that the schema takes."""

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
    """Give a request, more often than not an ordinary one, and then with a key if there are any."""
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
    """Bytes that arrive on a connection, and whether the turn ends after them."""

    connection: int
    data: bytes
    ends_turn: bool


@st.composite
def traffic(draw: st.DrawFn, schema: Schema, keyed: bool) -> list[Segment]:
    """Give what arrives on some connections, in any order and cut anywhere."""
    streams = []
    for _ in range(draw(st.integers(1, 4))):
        parts = draw(st.lists(requests(schema, keyed), min_size=1, max_size=3))
        if draw(st.integers(0, 3)) == 0:
            parts = [b"".join(parts)]  # sent ahead
        cut = []
        for part in parts:
            ends = sorted(draw(st.lists(st.integers(0, len(part)), max_size=2)))
            if draw(st.booleans()) and b"\r\n\r\n" in part:
                ends = [part.index(b"\r\n\r\n") + 4]  # as many clients do
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
        if segment.connection in spoke:  # The loop reads a connection once a turn.
            await site.settle()
            spoke.clear()
        if not transport.closing:
            protocol.data_received(segment.data)
            spoke.add(segment.connection)
        if segment.ends_turn:
            await site.settle()
            spoke.clear()
    await site.settle()
    written = [_comparable(transport.written) for _, transport in connections]
    for protocol, transport in connections:
        transport.close()
        protocol.connection_lost(None)
    await site.settle()
    return written, site.counts(), site.state.total_requests


def _comparable(written: bytes) -> bytes:
    """Take out what differs from one answer to the next: made-up ids, and jitter."""
    return re.sub(rb"(x-request-id: )[0-9a-f]{32}|(retry-after: )\d+", rb"\1\2", written)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.booleans())
def test_both_ways_give_the_same_bytes_and_counts_for_all_requests(
    keys: Keys, data: st.DataObject, keyed: bool
) -> None:
    schema = data.draw(schemas())
    segments = data.draw(traffic(schema, keyed))
    predictor = predictor_for(schema)
    its = keys if keyed else None

    async def play(site: Site) -> list[Any]:
        # The second time all heads are known.
        return [await _play(site, segments) for _ in range(2)]

    ordinary = serve_site(predictor, play, keys=its, short_way=False)
    assert serve_site(predictor, play, keys=its) == ordinary


def ask(site: Site, *data: bytes) -> list[tuple[Any, FakeTransport]]:
    """Send each of these on a connection of its own, in one turn."""
    connections = [site.connect() for _ in data]
    for (protocol, _), segment in zip(connections, data, strict=True):
        protocol.data_received(segment)
    return connections


async def crowd(site: Site) -> None:
    """Let there be a crowd, so that rows wait for the end of their turn."""
    ask(site, request(), request())
    await site.settle()


def status(transport: FakeTransport) -> int:
    """Give the status of the first answer."""
    return int(transport.written.split(b" ", 2)[1])


def test_an_ordinary_request_is_answered_within_the_turn_and_without_a_scope() -> None:
    async def scene(site: Site) -> None:
        ((_, transport),) = ask(site, request())

        assert transport.written == (
            b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: application/json\r\n"
            b"x-model-name: m\r\nx-model-version: 1\r\nx-model-epoch: 1\r\n"
            b'content-length: 45\r\n\r\n{"model":"m","version":1,"predictions":["b"]}'
        )
        assert site.scopes == 0

    serve_site(predictor_for(SCHEMA), scene)


@pytest.mark.parametrize("ahead", [False, True])
def test_the_last_request_of_a_connection_is_answered_likewise(ahead: bool) -> None:
    async def scene(site: Site) -> None:
        last = request(ROW, JSON, b"connection: close")
        ((_, transport),) = ask(site, last + request() if ahead else last)
        await site.settle()

        assert transport.closing
        assert transport.written.count(b"HTTP/1.1 ") == 1
        assert b"\r\nconnection: close\r\n" in transport.written
        assert (status(transport), site.scopes) == (200, 0)

    serve_site(predictor_for(SCHEMA), scene)


def test_with_the_setting_off_every_request_goes_the_ordinary_way() -> None:
    async def scene(site: Site) -> None:
        ((_, transport),) = ask(site, request())
        await site.settle()

        assert (status(transport), site.scopes) == (200, 1)

    serve_site(predictor_for(SCHEMA), scene, short_way=False)


UNUSUAL = {
    "another content type": request(ROW, b"content-type: text/csv"),
    "an encoding": request(ROW, JSON, b"content-encoding: gzip"),
    "a key": request(ROW, JSON, b"authorization: Bearer x"),
    "another key": request(ROW, JSON, b"x-api-key: x"),
    "an epoch": request(ROW, JSON, b"x-min-epoch: 1"),
    "an expectation": request(ROW, JSON, b"expect: 100-continue"),
    "an upgrade": request(ROW, JSON, b"connection: upgrade", b"upgrade: h2c"),
    "HTTP/1.0": request(line=b"POST /predict HTTP/1.0"),
    "a query": request(line=b"POST /predict?x HTTP/1.1"),
    "two rows": request(b'{"instances": [[1, 2], [3, 4]]}'),
    "a long body": request(ROW + b" " * 65_536),
    "a wrong row": request(b'{"instances": [[1]]}'),
    "chunks": b"POST /predict HTTP/1.1\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(ROW), ROW),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_whatever_is_unusual_goes_the_ordinary_way(case: str) -> None:
    async def scene(site: Site) -> tuple[bytes, int]:
        ((_, transport),) = ask(site, UNUSUAL[case])
        await site.settle()
        return _comparable(transport.written), site.scopes

    predictor = predictor_for(SCHEMA)
    written, scopes = serve_site(predictor, scene)

    assert scopes == 1
    assert written.startswith(b"HTTP/1.1 ")
    assert (written, scopes) == serve_site(predictor, scene, short_way=False)


def test_a_crowd_of_connections_is_answered_by_one_run() -> None:
    predictor = predictor_for(SCHEMA)
    runs: list[int] = []

    async def scene(site: Site) -> None:
        await crowd(site)
        run = predictor.predict_rows

        def counted(rows: Any, probabilities: bool = False) -> Any:
            runs.append(len(rows))
            return run(rows, probabilities)

        predictor.predict_rows = counted  # type: ignore[method-assign]
        bodies = [b'{"instances": [[%d, 0]]}' % (value % 2 * 8 - 4) for value in range(70)]
        connections = ask(site, *map(request, bodies))
        await site.settle()
        answers = [transport.written.rpartition(b"predictions")[2] for _, transport in connections]
        assert answers == [b'":["b"]}', b'":["a"]}'] * 35
        assert site.scopes == 0

    serve_site(predictor, scene)

    assert runs == [64, 6]


def test_a_row_that_the_classifier_cannot_take_fails_alone() -> None:
    schema = Schema((Feature("x", "number", nullable=True), Feature("y", "number")), ("a", "b"))
    good = b'{"instances": [{"x": 1, "y": 2}], "probabilities": true}'
    bad = b'{"instances": [{"x": null, "y": 2}], "probabilities": true}'

    async def scene(site: Site) -> list[bytes]:
        await crowd(site)
        ask(site, request(good), request(good))
        await site.settle()
        connections = ask(
            site, request(good), request(bad, JSON, b"x-request-id: i"), request(good)
        )
        await site.settle()
        return [_comparable(transport.written) for _, transport in connections]

    predictor = predictor_for(schema)
    written = serve_site(predictor, scene)

    assert [int(reply.split(b" ")[1]) for reply in written] == [200, 400, 200]
    assert b"x-request-id: i\r\n" in written[1]
    assert written == serve_site(predictor, scene, short_way=False)


@pytest.mark.parametrize("crowded", [False, True])
def test_a_defect_of_the_run_is_told_to_everybody(
    crowded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("a defect")

    async def scene(site: Site) -> list[bytes]:
        if crowded:
            await crowd(site)
        predictor.predict_rows = broken  # type: ignore[assignment]
        connections = ask(site, *[request(ROW, JSON, b"x-request-id: i")] * 3)
        await site.settle()
        counts = site.counts()
        assert counts["service_requests_total", ("/predict", "POST", "500")] == 3
        assert counts["service_predict_seconds_count", ("m", "1", "error")] == 3
        return [transport.written for _, transport in connections]

    predictor = predictor_for(SCHEMA)
    written = serve_site(predictor, scene)

    assert len(written) == 3
    assert all(DEFECT.encode() in reply for reply in written)
    assert caplog.text.count("RuntimeError: a defect") >= 3
    predictor = predictor_for(SCHEMA)
    assert written == serve_site(predictor, scene, short_way=False)


def test_a_defect_of_the_decoder_is_500_and_not_the_client_s_fault() -> None:
    def broken(_: object) -> Any:
        raise RuntimeError("a defect")

    async def scene(site: Site) -> int:
        ((_, transport),) = ask(site, request())
        await site.settle()
        return status(transport)

    predictor = predictor_for(SCHEMA)
    predictor.one_row = broken  # type: ignore[assignment]

    assert serve_site(predictor, scene) == 500


def test_a_row_is_answered_by_the_model_that_it_was_decoded_for() -> None:
    async def scene(site: Site) -> None:
        await crowd(site)
        ((_, before),) = ask(site, request())
        site.slot.swap(predictor_for(SCHEMA, version=2), 2, "")
        ((_, after),) = ask(site, request())
        await site.settle()

        for transport, version in ((before, 1), (after, 2)):
            assert b"x-model-version: %d\r\nx-model-epoch: %d\r\n" % (version, version) in (
                transport.written
            )
            assert b'"version":%d' % version in transport.written

    serve_site(predictor_for(SCHEMA), scene)


def test_while_the_gate_is_shut_a_request_waits_and_gets_the_new_model() -> None:
    async def scene(site: Site) -> None:
        site.gate.close()
        ((_, transport),) = ask(site, request())
        for _ in range(5):
            await asyncio.sleep(0)
        assert transport.written == b""

        site.slot.swap(predictor_for(SCHEMA, version=2), 2, "")
        site.gate.open()
        await site.settle()

        assert b"x-model-epoch: 2\r\n" in transport.written
        assert site.scopes == 1

    serve_site(predictor_for(SCHEMA), scene)


def test_requests_sent_ahead_in_a_crowd_are_answered_in_order() -> None:
    async def scene(site: Site) -> None:
        await crowd(site)
        rows = [b'{"instances": [[%d, 0]]}' % value for value in (4, -4, 4)]
        sent = [request(row, JSON, b"x-request-id: %d" % index) for index, row in enumerate(rows)]
        ((_, transport), _) = ask(site, b"".join(sent), request())
        await site.settle()

        assert re.findall(rb"x-request-id: (.)", transport.written) == [b"0", b"1", b"2"]
        labels = re.findall(rb'"predictions":\["(.)"\]', transport.written)
        assert labels == [b"a", b"b", b"a"]

    serve_site(predictor_for(SCHEMA), scene)


def test_a_row_over_the_limit_of_bodies_is_refused_whichever_way() -> None:
    async def scene(site: Site) -> list[int]:
        connections = ask(site, *(request(ROW + b" " * (size - len(ROW))) for size in (1024, 1025)))
        await site.settle()
        return [status(transport) for _, transport in connections]

    assert serve_site(predictor_for(SCHEMA), scene, max_body_bytes=1024) == [200, 413]


def test_a_head_that_is_known_leads_to_the_same_answer_and_is_not_trusted_further() -> None:
    longer = ROW[:-2] + b" ]}"

    async def scene(site: Site) -> None:
        ((protocol, transport),) = ask(site, request())
        first = transport.written
        protocol.data_received(request())
        assert transport.written == 2 * first
        # The same head with a body that is not whole, is too long, or is no row.
        protocol.data_received(request()[:-2])
        assert transport.written == 2 * first
        protocol.data_received(request()[-2:])
        assert transport.written == 3 * first
        protocol.data_received(request(longer)[: -len(longer)] + longer)
        assert transport.written == 4 * first
        protocol.data_received(request(b"x" * len(ROW)))
        await site.settle()
        assert b"HTTP/1.1 400 " in transport.written

    serve_site(predictor_for(SCHEMA), scene)


@pytest.mark.parametrize("before", [b"connection: upgrade\r\nupgrade: h2c", b"accept: */*"])
@pytest.mark.parametrize("behind", [b"", b" ", b"\r\n", b"x", request()])
def test_a_known_head_hides_nothing_that_is_before_or_behind_it(
    before: bytes, behind: bytes
) -> None:
    async def scene(site: Site) -> bytes:
        ask(site, request())
        ((protocol, transport),) = ask(site, request(ROW, JSON, before))
        await site.settle()
        if not transport.closing:
            protocol.data_received(request() + behind)
        await site.settle()
        return _comparable(transport.written)

    predictor = predictor_for(SCHEMA)

    assert serve_site(predictor, scene) == serve_site(predictor, scene, short_way=False)


def test_what_waits_when_the_server_goes_is_answered_and_closed() -> None:
    async def scene(site: Site) -> tuple[bytes, bool]:
        await crowd(site)
        ((protocol, transport),) = ask(site, request())
        assert transport.written == b""
        protocol.shutdown()
        await site.settle()
        return transport.written, transport.closing

    predictor = predictor_for(SCHEMA)
    written, closing = serve_site(predictor, scene)

    assert closing
    assert b"\r\nconnection: close\r\n\r\n" in written
    assert (written, closing) == serve_site(predictor, scene, short_way=False)


@pytest.mark.parametrize("size", [0, 10])
def test_a_body_that_is_on_its_way_when_the_server_goes_is_answered_too(size: int) -> None:
    whole = request()
    at = whole.index(b"\r\n\r\n") + 4 + size

    async def scene(site: Site) -> bytes:
        ((protocol, transport),) = ask(site, whole[:at])
        protocol.shutdown()
        protocol.data_received(whole[at:])
        await site.settle()
        assert transport.closing
        return transport.written

    predictor = predictor_for(SCHEMA)
    written = serve_site(predictor, scene)

    assert b"connection: close" in written
    assert written == serve_site(predictor, scene, short_way=False)


def test_what_is_broken_behind_a_waiting_request_makes_that_the_last_one() -> None:
    async def scene(site: Site) -> bytes:
        ((protocol, transport),) = ask(site, request() + b"no HTTP\r\n\r\n")
        await site.settle()
        # Not at once on the short way: a reset would take the answer from who still sends.
        assert transport.closing or transport.ended
        for _ in range(2):
            protocol.close_if_silent(0)
        assert transport.closing
        return transport.written

    predictor = predictor_for(SCHEMA)
    written = serve_site(predictor, scene)

    assert written.count(b"HTTP/1.1 ") == 1
    assert written == serve_site(predictor, scene, short_way=False)


@pytest.mark.parametrize("short_way", [True, False])
def test_half_a_body_gets_408_after_the_deadline(short_way: bool) -> None:
    async def scene(site: Site) -> None:
        ((protocol, transport),) = ask(site, request()[:-8])
        begun = protocol.since
        protocol.close_if_silent(begun + 5)
        protocol.data_received(b"  ")
        protocol.close_if_silent(begun + 8.9)
        assert transport.written == b""

        protocol.close_if_silent(begun + 9.1)

        assert status(transport) == 408

    serve_site(predictor_for(SCHEMA), scene, short_way=short_way, idle_seconds=10.0)


@pytest.mark.parametrize("short_way", [True, False])
def test_a_connection_that_is_kept_alive_in_vain_is_closed(short_way: bool) -> None:
    async def scene(site: Site) -> None:
        ((protocol, transport),) = ask(site, request())
        await site.settle()
        protocol.close_if_silent(protocol.answered_at + 74)
        assert not transport.closing

        protocol.close_if_silent(protocol.answered_at + 75.01)

        assert transport.closing

    serve_site(predictor_for(SCHEMA), scene, short_way=short_way)


def test_a_request_that_waits_is_not_idle_however_long_it_was_quiet_before() -> None:
    async def scene(site: Site) -> None:
        await crowd(site)
        ((protocol, transport),) = ask(site, request())
        protocol.close_if_silent(protocol.answered_at + 1000)
        assert not transport.closing
        await site.settle()

        assert status(transport) == 200

    serve_site(predictor_for(SCHEMA), scene)


def test_who_does_not_read_is_not_written_to() -> None:
    async def scene(site: Site) -> None:
        ((protocol, transport),) = ask(site, request())
        before = len(transport.written)
        protocol.pause_writing()
        for _ in range(3):
            protocol.data_received(request())
            await asyncio.sleep(0)
        assert len(transport.written) == before
        assert protocol.flow.read_paused

        protocol.resume_writing()
        await site.settle()

        assert transport.written.count(b"HTTP/1.1 200 OK") == 4

    serve_site(predictor_for(SCHEMA), scene)


def test_a_client_that_leaves_disturbs_nobody() -> None:
    async def scene(site: Site) -> None:
        await crowd(site)
        (gone, left), (_, stays) = ask(site, request(), request())
        left.close()
        gone.connection_lost(None)
        await site.settle()

        assert left.written == b""
        assert status(stays) == 200

    serve_site(predictor_for(SCHEMA), scene)


def test_a_connection_in_the_reserve_is_no_way_round_the_limit() -> None:
    async def scene(site: Site) -> list[int]:
        connections = ask(site, request(), request())
        await site.settle()
        return [status(transport) for _, transport in connections]

    assert serve_site(predictor_for(SCHEMA), scene, max_connections=1) == [200, 503]


def test_without_a_model_in_use_the_ordinary_way_says_so() -> None:
    async def scene(site: Site) -> int:
        ((_, transport),) = ask(site, request())
        await site.settle()
        return status(transport)

    assert serve_site(None, scene) == 503


def test_a_new_connection_is_not_closed_at_once_however_short_the_idle_time() -> None:
    async def scene(site: Site) -> list[bool]:
        protocol, transport = site.connect()
        closed = []
        for seconds in (0, 0.4, 0.6):
            protocol.close_if_silent(protocol.since + seconds)
            closed.append(transport.closing)
        return closed

    assert serve_site(predictor_for(SCHEMA), scene, idle_seconds=1.0) == [False, False, True]


def test_what_a_slow_model_has_no_thread_for_is_refused_alike_and_without_a_scope() -> None:
    async def scene(site: Site) -> Any:
        with ExitStack() as places:
            while not site.predict.crew.is_full(60.0):
                places.enter_context(site.predict.crew.place(60.0))
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
