"""What closes a connection on the fast path: the server, the client, a deadline or silence."""

import asyncio

import pytest

from tests.support.scenes import SCHEMA, ask, crowd, request, serve_site, status
from tests.support.site import Site, predictor_for


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
        # The fast path does not close immediately: a reset would discard the response
        # of a client that is still sending.
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


def test_a_client_that_does_not_read_is_not_written_to() -> None:
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


def test_a_client_that_leaves_affects_no_other() -> None:
    async def scene(site: Site) -> None:
        await crowd(site)
        (gone, left), (_, stays) = ask(site, request(), request())
        left.close()
        gone.connection_lost(None)
        await site.settle()

        assert left.written == b""
        assert status(stays) == 200

    serve_site(predictor_for(SCHEMA), scene)


def test_a_new_connection_is_not_closed_at_once_however_short_the_idle_time() -> None:
    async def scene(site: Site) -> list[bool]:
        protocol, transport = site.connect()
        closed = []
        for seconds in (0, 0.4, 0.6):
            protocol.close_if_silent(protocol.since + seconds)
            closed.append(transport.closing)
        return closed

    assert serve_site(predictor_for(SCHEMA), scene, idle_seconds=1.0) == [False, False, True]
