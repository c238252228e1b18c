"""What the server does with bytes that are no request, too much of one, or half of one."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fakes import FakeRegistry
from tests.server import Client, serve, settings_for

HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service that waits two seconds for the rest of a request; no model is in use."""
    folder = tmp_path_factory.mktemp("impatient")
    settings = settings_for(folder / "data", idle_seconds=2.0)
    with serve(settings, FakeRegistry(folder)) as client:
        yield client


def _talk(client: Client, data: bytes, seconds: float = 10) -> bytes:
    """Send bytes and give all that comes back until the server closes."""
    address = (client.base_url.host, client.base_url.port or 80)
    with closing(socket.create_connection(address, timeout=seconds)) as connection:
        connection.sendall(data)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def _check(reply: bytes, status: int) -> None:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), reply
    assert b"content-type: application/problem+json" in head
    assert b"x-request-id: " in head
    assert json.loads(body)["status"] == status


BROKEN = {
    "H6 length and chunks": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    "H8 negative length": HEAD + b"content-length: -1\r\n\r\n",
    "H8 length is a word": HEAD + b"content-length: abc\r\n\r\n",
    "H8 length with a sign": HEAD + b"content-length: +5\r\n\r\n{}   ",
    "H9 no HTTP": b"hello\r\n\r\n",
    "H9 a method nobody knows": b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_http_is_400_and_closed(impatient: Client, case: str) -> None:
    _check(_talk(impatient, BROKEN[case]), 400)


def test_h10_headers_over_16_kib_are_431(impatient: Client) -> None:
    many = b"".join(b"x-%d: %s\r\n" % (index, b"v" * 1000) for index in range(20))

    _check(_talk(impatient, HEAD + many + b"\r\n"), 431)


def test_h10_one_endless_header_is_431(impatient: Client) -> None:
    _check(_talk(impatient, HEAD + b"x-long: " + b"v" * 40_000 + b"\r\n\r\n"), 431)


def test_h12_a_url_over_8_kib_is_400(impatient: Client) -> None:
    _check(_talk(impatient, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"), 400)


def test_h13_half_a_header_is_answered_408_and_closed(impatient: Client) -> None:
    _check(_talk(impatient, HEAD), 408)


def test_half_a_body_is_answered_408_and_closed(impatient: Client) -> None:
    _check(_talk(impatient, HEAD + b'content-length: 100\r\n\r\n{"instances"'), 408)


def test_half_an_upload_is_answered_408_and_closed(impatient: Client) -> None:
    head = HEAD.replace(b"/predict", b"/train")

    _check(_talk(impatient, head + b'content-length: 100\r\n\r\n{"dataset"'), 408)


def test_a_silent_connection_is_closed(impatient: Client) -> None:
    assert _talk(impatient, b"") == b""


def test_p51_without_a_model_in_use_predict_is_503_and_says_how_to_get_one(
    impatient: Client,
) -> None:
    response = impatient.predict({"instances": [[1]]})

    assert response.status_code == 503
    assert "POST /train" in response.json()["detail"]
    assert response.headers["retry-after"].isdigit()
    assert impatient.get("/readyz").status_code == 503
    assert impatient.get("/healthz").status_code == 200
    assert impatient.get("/schema").status_code == 503
    assert impatient.get("/use-model").status_code == 503


def test_a_body_in_many_parts_is_one_body(client: Client) -> None:
    row = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
    parts = b"".join(b"%x\r\n%s\r\n" % (1, row[i : i + 1]) for i in range(len(row)))
    head = HEAD + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"

    reply = _talk(client, head + parts + b"0\r\n\r\n")

    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert b'"predictions":["setosa"]' in reply


def test_requests_sent_ahead_are_answered_in_order(client: Client) -> None:
    def request(row: bytes, last: bool) -> bytes:
        close = b"connection: close\r\n" if last else b""
        body = b'{"instances": [%s]}' % row
        return HEAD + close + b"content-length: %d\r\n\r\n%s" % (len(body), body)

    reply = _talk(
        client, request(b"[5.1, 3.5, 1.4, 0.2]", False) + request(b"[6, 3, 5.5, 2.1]", True)
    )

    assert reply.index(b'["setosa"]') < reply.index(b'["virginica"]')
