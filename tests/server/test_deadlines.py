"""The deadlines of incomplete requests, slow requests and silent connections."""

import asyncio
import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from service.api.answering import Answering
from service.common.errors import BodyTooLarge
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.sockets import HEAD, check, connect, one_reply, rest, talk

pytestmark = pytest.mark.slow


def test_h13_half_a_header_is_answered_408_and_closed(impatient: Client) -> None:
    check(talk(impatient, HEAD), 408)


def test_half_a_body_is_answered_408_and_closed(impatient: Client) -> None:
    check(talk(impatient, HEAD + b'content-length: 100\r\n\r\n{"instances"'), 408)


def test_half_an_upload_is_answered_408_and_closed(impatient: Client) -> None:
    head = HEAD.replace(b"/predict", b"/train")

    check(talk(impatient, head + b'content-length: 100\r\n\r\n{"dataset"'), 408)


def test_a_dripping_body_is_answered_408(impatient: Client) -> None:
    with connect(impatient) as connection:
        connection.sendall(HEAD + b"content-length: 1000\r\n\r\n")
        start = time.monotonic()
        received = _drip(connection, b" ")

    check(received, 408)
    assert time.monotonic() - start < 15


def test_a_dripping_header_is_answered_408(impatient: Client) -> None:
    with connect(impatient) as connection:
        connection.sendall(HEAD + b"x-slow: ")
        received = _drip(connection, b"a")

    check(received, 408)


def test_line_ends_do_not_keep_a_connection_open(impatient: Client) -> None:
    with connect(impatient) as connection:
        assert _drip(connection, b"\r\n") == b""


def _drip(connection: socket.socket, piece: bytes) -> bytes:
    """Send a piece every 0.1 s until the server responds; return everything it sent."""
    connection.settimeout(0.1)
    for _ in range(100):
        try:
            first = connection.recv(65536)
        except TimeoutError:
            with contextlib.suppress(OSError):
                connection.send(piece)
            continue
        connection.settimeout(10)
        return first + rest(connection) if first else first
    raise AssertionError("the connection stayed open")


def test_a_body_that_comes_fast_enough_may_take_longer_than_the_idle_seconds(
    impatient: Client,
) -> None:
    piece = b" " * 8192
    with connect(impatient) as connection:
        connection.settimeout(0.1)
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (40 * len(piece)))
        for _ in range(40):
            with contextlib.suppress(TimeoutError):
                assert connection.recv(1) == b"", "it was answered before it was whole"
            connection.sendall(piece)
        connection.settimeout(10)

        check(one_reply(connection), 503)


@pytest.mark.slow
def test_a_client_that_the_service_keeps_waiting_gets_no_408(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    rest = Answering.receive_rest

    async def slow(*args: Any) -> bytes:
        await asyncio.to_thread(go_on.wait)
        return await rest(*args)

    monkeypatch.setattr(Answering, "receive_rest", slow)
    monkeypatch.setattr("service.server.limits.LEAST_RATE", 1e9)
    body = b" " * 1_000_000
    settings = settings_for(tmp_path / "data", idle_seconds=3.0)
    with serve(settings, FakeRegistry(tmp_path)) as client, connect(client) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (len(body) + 1) + body)
        assert _is_quiet(connection, 3.5)
        go_on.set()
        assert _is_quiet(connection, 1.5)
        connection.sendall(b" ")

        check(one_reply(connection), 503)


def _is_quiet(connection: socket.socket, seconds: float) -> bool:
    """Return whether the server sends nothing for this many seconds."""
    connection.settimeout(seconds)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


def test_an_answer_that_comes_after_408_is_not_sent(
    impatient: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, ended = threading.Event(), threading.Event()

    async def late(*_: object) -> bytes:
        await asyncio.to_thread(go_on.wait)
        asyncio.get_running_loop().call_later(0.1, ended.set)
        raise BodyTooLarge("The body", 1, "bytes")

    monkeypatch.setattr(Answering, "receive_rest", late)
    with connect(impatient) as connection:
        connection.sendall(HEAD + b"content-length: 100\r\n\r\n{")
        reply = rest(connection)
        go_on.set()
        assert ended.wait(10)

    check(reply, 408)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_silent_connection_is_closed(impatient: Client) -> None:
    assert talk(impatient, b"") == b""
