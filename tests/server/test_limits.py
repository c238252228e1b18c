"""How the server handles bytes that are not a valid request, or exceed a limit."""

import re
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.support.server import Client
from tests.support.sockets import HEAD, check, connect, flood, rest, talk

BROKEN = {
    "H6 length and chunks": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    "H8 negative length": HEAD + b"content-length: -1\r\n\r\n",
    "H8 length is a word": HEAD + b"content-length: abc\r\n\r\n",
    "H8 length with a sign": HEAD + b"content-length: +5\r\n\r\n{}   ",
    "a URL of another host": b"GET http://other.example/ HTTP/1.1\r\nhost: x\r\n\r\n",
    "H9 no HTTP": b"hello\r\n\r\n",
    "H9 a method nobody knows": b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_http_is_400_and_closed(impatient: Client, case: str) -> None:
    check(talk(impatient, BROKEN[case]), 400)


def test_an_absolute_url_of_the_host_that_was_asked_is_answered(client: Client) -> None:
    request = b"GET HTTP://X/healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    assert talk(client, request).startswith(b"HTTP/1.1 200 ")


def test_h10_headers_over_16_kib_are_431(impatient: Client) -> None:
    many = b"".join(b"x-%d: %s\r\n" % (index, b"v" * 1000) for index in range(20))

    check(talk(impatient, HEAD + many + b"\r\n"), 431)


def test_h10_one_endless_header_is_431(impatient: Client) -> None:
    check(talk(impatient, HEAD + b"x-long: " + b"v" * 40_000 + b"\r\n\r\n"), 431)


def test_h12_a_url_over_8_kib_is_400(impatient: Client) -> None:
    check(talk(impatient, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"), 400)


@pytest.mark.parametrize(
    ("begin", "status"),
    [
        (HEAD + b"x-long: ", 431),
        (HEAD + b"x-", 431),
        (b"GET /", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-trailer: ", 431),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2;extension=", 431),
    ],
)
def test_what_never_ends_is_refused_before_it_is_large(
    impatient: Client, begin: bytes, status: int
) -> None:
    with connect(impatient) as connection:
        connection.sendall(begin)
        flood(connection, b"a" * 4096, 100_000)

        check(rest(connection), status)


def test_a_header_without_an_end_takes_no_memory_and_delays_nobody(impatient: Client) -> None:
    before = _resident()
    with connect(impatient) as connection:
        connection.sendall(HEAD + b"x-long: ")
        sender = threading.Thread(target=flood, args=(connection, b"a" * 65536, 100_000_000))
        sender.start()
        start = time.monotonic()
        while sender.is_alive():
            assert impatient.get("/healthz").status_code == 200
            assert time.monotonic() - start < 10
        sender.join()

    assert _resident() - before < 20_000_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("excess", [0, 1])
def test_h10_the_sum_of_the_headers_is_exact(impatient: Client, excess: int) -> None:
    fixed = {b"host": b"x", b"connection": b"close"}
    room = 16 * 1024 - sum(len(name) + len(value) for name, value in fixed.items())
    one = b"v" * (room // 2)
    two = b"v" * (room - len(one) - len(b"x-1x-2") + excess)
    headers = {**fixed, b"x-1": one, b"x-2": two}
    head = b"".join(b"%s: %s\r\n" % item for item in headers.items())

    reply = talk(impatient, b"GET /healthz HTTP/1.1\r\n" + head + b"\r\n")

    assert reply.startswith(b"HTTP/1.1 431 " if excess else b"HTTP/1.1 200 ")


@pytest.mark.parametrize("excess", [0, 1])
def test_h12_the_length_of_the_url_is_exact(impatient: Client, excess: int) -> None:
    url = b"/healthz?" + b"a" * (8 * 1024 - len("/healthz?") + excess)

    reply = talk(impatient, b"GET %s HTTP/1.1\r\nconnection: close\r\n\r\n" % url)

    assert reply.startswith(b"HTTP/1.1 400 " if excess else b"HTTP/1.1 200 ")


def test_a_head_in_single_bytes_is_a_head(client: Client) -> None:
    with connect(client) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n":
            connection.send(bytes([byte]))

        assert rest(connection).endswith(b'{"status":"ok"}')


def test_what_follows_a_chunked_body_is_no_header(client: Client) -> None:
    row = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
    head = HEAD + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    trailers = b"content-type: text/csv\r\ncontent-encoding: gzip\r\n"

    reply = talk(client, head + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(row), row, trailers))

    assert reply.startswith(b"HTTP/1.1 200 OK")


def test_what_is_broken_behind_a_request_does_not_take_its_answer(client: Client) -> None:
    row = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
    first = HEAD + b"content-length: %d\r\n\r\n%s" % (len(row), row)

    for broken in (BROKEN["H9 no HTTP"], b"GET /" + b"a" * 40_000):
        reply = talk(client, first + broken)

        assert reply.startswith(b"HTTP/1.1 200 OK")
        assert reply.count(b"HTTP/1.1 ") == 1

    broken_body = HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"
    reply = talk(client, first + broken_body)
    assert [line.split()[1] for line in re.findall(rb"HTTP/1.1 \d+", reply)] == [b"200", b"400"]


ROW = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_that_asks_for_an_upgrade_keeps_its_body_and_what_follows(
    client: Client, chunked: bool
) -> None:
    framed = b"content-length: %d\r\n\r\n%b" % (len(ROW), ROW)
    if chunked:
        framed = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(ROW), ROW)
    last = HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(ROW), ROW)

    for cut in (None, 30, -len(last) - 5, -len(last)):
        with connect(client) as connection:
            data = HEAD + UPGRADE + framed + HEAD + UPGRADE + framed + last
            for piece in (data,) if cut is None else (data[:cut], data[cut:]):
                connection.sendall(piece)
            reply = rest(connection)

        assert re.findall(rb"HTTP/1.1 (\d+)", reply) == [b"200"] * 3
        assert reply.count(b'"predictions":["setosa"]') == 3


def test_many_requests_that_ask_for_an_upgrade_are_many_requests(impatient: Client) -> None:
    one = b"GET /healthz HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n"

    assert talk(impatient, one * 1500 + last).count(b'{"status":"ok"}') == 1501


def test_a_head_that_asks_for_an_upgrade_has_the_limits_of_any_other(impatient: Client) -> None:
    many = b"".join(b"x-%d: %s\r\n" % (index, b"v" * 1000) for index in range(20))

    check(talk(impatient, HEAD + UPGRADE + many + b"\r\n"), 431)
    check(talk(impatient, HEAD + UPGRADE + b"content-length: 5\r\n\r\n{"), 408)


def test_a_close_that_follows_a_chunked_body_is_a_close(client: Client) -> None:
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\nconnection: close\r\n\r\n" % (len(ROW), ROW)

    for behind in (b"", HEAD + b"content-length: 0\r\n\r\n"):
        reply = talk(client, head + chunks + behind)

        assert re.findall(rb"HTTP/1.1 (\d+)", reply) == [b"200"]
        assert b"connection: close" in reply


def test_connect_is_refused_and_closed(impatient: Client) -> None:
    check(talk(impatient, b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n"), 400)
    check(talk(impatient, b"CONNECT /predict HTTP/1.1\r\nhost: x\r\n\r\n"), 405)
