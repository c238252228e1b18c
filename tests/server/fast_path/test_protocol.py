"""The fast path of `/predict`: clients cannot distinguish it from the ordinary path."""

import asyncio
import re
from typing import Any

import pytest

from service.api.predict_replies import DEFECT
from service.schema.contract import Feature, Schema
from service.serving.current_model import LoadedVersion
from tests.support.scenes import (
    JSON,
    ROW,
    SCHEMA,
    ask,
    comparable,
    crowd,
    request,
    serve_site,
    status,
)
from tests.support.site import Site, predictor_for


def test_a_plain_request_is_answered_within_the_iteration_and_without_a_scope() -> None:
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


def test_with_the_setting_off_every_request_takes_the_ordinary_path() -> None:
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
def test_an_unusual_request_takes_the_ordinary_path(case: str) -> None:
    async def scene(site: Site) -> tuple[bytes, int]:
        ((_, transport),) = ask(site, UNUSUAL[case])
        await site.settle()
        return comparable(transport.written), site.scopes

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
        return [comparable(transport.written) for _, transport in connections]

    predictor = predictor_for(schema)
    written = serve_site(predictor, scene)

    assert [int(reply.split(b" ")[1]) for reply in written] == [200, 400, 200]
    assert b"x-request-id: i\r\n" in written[1]
    assert written == serve_site(predictor, scene, short_way=False)


@pytest.mark.parametrize("crowded", [False, True])
def test_a_defect_of_the_run_reaches_every_request_in_it(
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
    predictor.decode_row = broken  # type: ignore[assignment]

    assert serve_site(predictor, scene) == 500


def test_a_row_is_answered_by_the_model_that_it_was_decoded_for() -> None:
    async def scene(site: Site) -> None:
        await crowd(site)
        ((_, before),) = ask(site, request())
        site.current_model.swap(LoadedVersion(predictor_for(SCHEMA, version=2), 2, ""))
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
        site.hold.begin()
        ((_, transport),) = ask(site, request())
        for _ in range(5):
            await asyncio.sleep(0)
        assert transport.written == b""

        site.current_model.swap(LoadedVersion(predictor_for(SCHEMA, version=2), 2, ""))
        site.hold.end()
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
        # The same head with a body that is incomplete, has another length, or is not a row.
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
        return comparable(transport.written)

    predictor = predictor_for(SCHEMA)

    assert serve_site(predictor, scene) == serve_site(predictor, scene, short_way=False)


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


def test_a_request_for_another_host_behind_a_plain_one_is_not_answered_on_either_path() -> None:
    other = b"POST http://x/predict HTTP/1.1\r\nhost: y\r\ncontent-length: 0\r\n\r\n"

    async def scene(site: Site) -> bytes:
        ((_, transport),) = ask(site, request() + other)
        await site.settle()
        return comparable(transport.written)

    predictor = predictor_for(SCHEMA)
    written = serve_site(predictor, scene)

    assert written.count(b"HTTP/1.1 ") == 1
    assert written == serve_site(predictor, scene, short_way=False)
