"""What the server does with bytes that are no request, too much of one, or half of one."""

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.api.predict import Predict
from service.edge import RESERVE
from service.errors import BodyTooLarge
from service.server import Server
from tests.fakes import FakeRegistry
from tests.server import Client, running, serve, settings_for
from tests.waiting import wait_until

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
    with _connect(client, seconds) as connection:
        connection.sendall(data)
        return _rest(connection)


def _connect(client: Client, seconds: float = 10) -> socket.socket:
    address = (client.base_url.host, client.base_url.port or 80)
    return socket.create_connection(address, timeout=seconds)


def _rest(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def _reply(connection: socket.socket) -> bytes:
    """Read one reply that has a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    while len(body) < int(length[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def _flood(connection: socket.socket, piece: bytes, most: int) -> int:
    """Send a piece again and again until the server ends it; give how many bytes were sent."""
    sent = 0
    with contextlib.suppress(OSError):
        while sent < most:
            sent += connection.send(piece)
    return sent


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
    with _connect(impatient) as connection:
        connection.sendall(begin)
        _flood(connection, b"a" * 4096, 100_000)

        _check(_rest(connection), status)


def test_a_header_without_an_end_takes_no_memory_and_delays_nobody(impatient: Client) -> None:
    before = _resident()
    with _connect(impatient) as connection:
        connection.sendall(HEAD + b"x-long: ")
        sender = threading.Thread(target=_flood, args=(connection, b"a" * 65536, 100_000_000))
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

    reply = _talk(impatient, b"GET /healthz HTTP/1.1\r\n" + head + b"\r\n")

    assert reply.startswith(b"HTTP/1.1 431 " if excess else b"HTTP/1.1 200 ")


@pytest.mark.parametrize("excess", [0, 1])
def test_h12_the_length_of_the_url_is_exact(impatient: Client, excess: int) -> None:
    url = b"/healthz?" + b"a" * (8 * 1024 - len("/healthz?") + excess)

    reply = _talk(impatient, b"GET %s HTTP/1.1\r\nconnection: close\r\n\r\n" % url)

    assert reply.startswith(b"HTTP/1.1 400 " if excess else b"HTTP/1.1 200 ")


def test_a_head_in_single_bytes_is_a_head(client: Client) -> None:
    with _connect(client) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n":
            connection.send(bytes([byte]))

        assert _rest(connection).endswith(b'{"status":"ok"}')


def test_what_follows_a_chunked_body_is_no_header(client: Client) -> None:
    row = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
    head = HEAD + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    trailers = b"content-type: text/csv\r\ncontent-encoding: gzip\r\n"

    reply = _talk(client, head + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(row), row, trailers))

    assert reply.startswith(b"HTTP/1.1 200 OK")


def test_what_is_broken_behind_a_request_does_not_take_its_answer(client: Client) -> None:
    row = b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'
    first = HEAD + b"content-length: %d\r\n\r\n%s" % (len(row), row)

    for broken in (BROKEN["H9 no HTTP"], b"GET /" + b"a" * 40_000):
        reply = _talk(client, first + broken)

        assert reply.startswith(b"HTTP/1.1 200 OK")
        assert reply.count(b"HTTP/1.1 ") == 1

    broken_body = HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"
    reply = _talk(client, first + broken_body)
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
        with _connect(client) as connection:
            data = HEAD + UPGRADE + framed + HEAD + UPGRADE + framed + last
            for piece in (data,) if cut is None else (data[:cut], data[cut:]):
                connection.sendall(piece)
            reply = _rest(connection)

        assert re.findall(rb"HTTP/1.1 (\d+)", reply) == [b"200"] * 3
        assert reply.count(b'"predictions":["setosa"]') == 3


def test_many_requests_that_ask_for_an_upgrade_are_many_requests(impatient: Client) -> None:
    one = b"GET /healthz HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n"

    assert _talk(impatient, one * 1500 + last).count(b'{"status":"ok"}') == 1501


def test_a_head_that_asks_for_an_upgrade_has_the_limits_of_any_other(impatient: Client) -> None:
    many = b"".join(b"x-%d: %s\r\n" % (index, b"v" * 1000) for index in range(20))

    _check(_talk(impatient, HEAD + UPGRADE + many + b"\r\n"), 431)
    _check(_talk(impatient, HEAD + UPGRADE + b"content-length: 5\r\n\r\n{"), 408)


def test_a_close_that_follows_a_chunked_body_is_a_close(client: Client) -> None:
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\nconnection: close\r\n\r\n" % (len(ROW), ROW)

    for behind in (b"", HEAD + b"content-length: 0\r\n\r\n"):
        reply = _talk(client, head + chunks + behind)

        assert re.findall(rb"HTTP/1.1 (\d+)", reply) == [b"200"]
        assert b"connection: close" in reply


def test_connect_is_refused_and_closed(impatient: Client) -> None:
    _check(_talk(impatient, b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n"), 400)
    _check(_talk(impatient, b"CONNECT /predict HTTP/1.1\r\nhost: x\r\n\r\n"), 405)


def test_h13_half_a_header_is_answered_408_and_closed(impatient: Client) -> None:
    _check(_talk(impatient, HEAD), 408)


def test_half_a_body_is_answered_408_and_closed(impatient: Client) -> None:
    _check(_talk(impatient, HEAD + b'content-length: 100\r\n\r\n{"instances"'), 408)


def test_half_an_upload_is_answered_408_and_closed(impatient: Client) -> None:
    head = HEAD.replace(b"/predict", b"/train")

    _check(_talk(impatient, head + b'content-length: 100\r\n\r\n{"dataset"'), 408)


def test_a_dripping_body_is_answered_408(impatient: Client) -> None:
    with _connect(impatient) as connection:
        connection.sendall(HEAD + b"content-length: 1000\r\n\r\n")
        start = time.monotonic()
        received = _drip(connection, b" ")

    _check(received, 408)
    assert time.monotonic() - start < 15


def test_a_dripping_header_is_answered_408(impatient: Client) -> None:
    with _connect(impatient) as connection:
        connection.sendall(HEAD + b"x-slow: ")
        received = _drip(connection, b"a")

    _check(received, 408)


def test_line_ends_do_not_keep_a_connection_open(impatient: Client) -> None:
    with _connect(impatient) as connection:
        assert _drip(connection, b"\r\n") == b""


def _drip(connection: socket.socket, piece: bytes) -> bytes:
    """Send a piece each tenth of a second until the server says something; give all it says."""
    connection.settimeout(0.1)
    for _ in range(100):
        try:
            first = connection.recv(65536)
        except TimeoutError:
            with contextlib.suppress(OSError):
                connection.send(piece)
            continue
        connection.settimeout(10)
        return first + _rest(connection) if first else first
    raise AssertionError("the connection stayed open")


def test_a_body_that_comes_fast_enough_may_take_longer_than_the_idle_seconds(
    impatient: Client,
) -> None:
    piece = b" " * 8192
    with _connect(impatient) as connection:
        connection.settimeout(0.1)
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (40 * len(piece)))
        for _ in range(40):
            with contextlib.suppress(TimeoutError):
                assert connection.recv(1) == b"", "it was answered before it was whole"
            connection.sendall(piece)
        connection.settimeout(10)

        _check(_reply(connection), 503)


def test_a_client_that_the_service_keeps_waiting_gets_no_408(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    rest = Predict._rest

    async def slow(*args: Any) -> bytes:
        while not go_on.is_set():
            await asyncio.sleep(0.02)
        return await rest(*args)

    monkeypatch.setattr(Predict, "_rest", slow)
    monkeypatch.setattr("service.edge.LEAST_RATE", 1e9)
    body = b" " * 1_000_000
    settings = settings_for(tmp_path / "data", idle_seconds=3.0)
    with serve(settings, FakeRegistry(tmp_path)) as client, _connect(client) as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (len(body) + 1) + body)
        assert _is_quiet(connection, 3.5)
        go_on.set()
        assert _is_quiet(connection, 1.5)
        connection.sendall(b" ")

        _check(_reply(connection), 503)


def _is_quiet(connection: socket.socket, seconds: float) -> bool:
    """Tell whether the server says nothing for so long."""
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
        while not go_on.is_set():
            await asyncio.sleep(0.02)
        asyncio.get_running_loop().call_later(0.1, ended.set)
        raise BodyTooLarge("The body", 1, "bytes")

    monkeypatch.setattr(Predict, "_rest", late)
    with _connect(impatient) as connection:
        connection.sendall(HEAD + b"content-length: 100\r\n\r\n{")
        reply = _rest(connection)
        go_on.set()
        assert ended.wait(10)

    _check(reply, 408)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


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


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[tuple[Server, Client]]:
    """A service that takes two connections; no model is in use."""
    settings = settings_for(tmp_path / "data", idle_seconds=30.0, max_connections=2)
    with running(settings, FakeRegistry(tmp_path)) as started:
        yield started


def test_one_connection_too_many_is_503_and_probes_still_are_answered(
    narrow: tuple[Server, Client],
) -> None:
    server, client = narrow
    with ExitStack() as stack:
        held = [stack.enter_context(_connect(client)) for _ in range(2)]
        wait_until(lambda: len(server.server_state.connections) == 2)

        refused = _talk(client, HEAD + b"content-length: 2\r\n\r\n{}")
        probed = _talk(client, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")

        _check(refused, 503)
        assert re.search(rb"retry-after: \d", refused)
        assert probed.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in probed
        held[0].sendall(b"GET /models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert _reply(held[0]).startswith(b"HTTP/1.1 200 OK")
    wait_until(lambda: not server.server_state.connections)
    assert client.get("/models").status_code == 200


def test_connections_beyond_the_reserve_are_503_at_once(narrow: tuple[Server, Client]) -> None:
    _, client = narrow
    with ExitStack() as stack:
        for _ in range(2 + RESERVE):
            stack.enter_context(_connect(client))

        _check(_talk(client, b""), 503)


PATHS = {"name": "iris", "version": "1", "training": "a" * 32}


def test_405_tells_every_method_of_a_path(client: Client) -> None:
    for path, item in client.get("/openapi.json").json()["paths"].items():
        methods = {method.upper() for method in item}
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        for wrong in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - allowed:
            response = client.request(wrong, path.format(**PATHS))

            assert response.status_code == 405, (wrong, path)
            assert set(response.headers["allow"].split(", ")) == allowed, path
            assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/", "/docs/assets/swagger-ui.css"])
def test_405_of_the_page_tells_its_methods(client: Client, path: str) -> None:
    response = client.put(path)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


def test_head_answers_as_get_does_without_the_body(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    read = [path.format(**PATHS) for path, item in paths.items() if "get" in item]
    varying = {"date", "x-request-id", "content-length"}
    for path in [*read, "/docs", "/openapi.json", "/", "/docs/assets/swagger-ui.css"]:
        got, head = client.get(path), client.head(path)

        assert head.status_code == got.status_code, path
        assert head.content == b""
        assert set(head.headers) == set(got.headers)
        for name in set(got.headers) - varying:
            assert head.headers[name] == got.headers[name], (path, name)
        assert path == "/metrics" or abs(
            int(head.headers["content-length"]) - int(got.headers["content-length"])
        ) <= 16, path  # fmt: skip
    # The connection is in step: no body was sent that the client did not expect.
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.fixture
def going(tmp_path: Path) -> Iterator[tuple[Server, Client]]:
    """A service that the test stops."""
    settings = settings_for(tmp_path / "data", max_bulk_rows=100_000)
    with running(settings, FakeRegistry(tmp_path)) as started:
        yield started


READY = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"


def test_while_it_goes_readyz_says_so_and_what_was_begun_is_answered(
    going: tuple[Server, Client],
) -> None:
    server, client = going
    with _connect(client) as probe, _connect(client) as half:
        half.sendall(READY[:20])
        probe.sendall(READY)
        assert b"No model is in use" in _reply(probe)

        server.should_exit = True
        last = wait_until(lambda: _last_reply(probe))
        half.sendall(READY[20:])

        _check(last, 503)
        assert b"The replica is going away." in last
        assert _rest(probe) == b""
        reply = _rest(half)
        _check(reply, 503)
        assert b"connection: close" in reply


def _last_reply(connection: socket.socket) -> bytes | None:
    """Ask once more; give the answer if it is the connection's last one."""
    connection.sendall(READY)
    reply = _reply(connection)
    return reply if b"connection: close" in reply else None


ENDLESS: dict[str, Any] = {
    "model_type": "GradientBoostingClassifier",
    "params": {"n_estimators": 2000, "max_depth": 8},
    "dataset": "digits",
    "wait": 60,
}


def test_who_waits_for_a_training_when_the_service_goes_is_answered_503_soon(
    going: tuple[Server, Client],
) -> None:
    server, client = going
    body = json.dumps(ENDLESS).encode()
    with _connect(client, 30) as connection:
        request = HEAD.replace(b"/predict", b"/train") + b"content-length: %d\r\n\r\n" % len(body)
        connection.sendall(request + body)
        wait_until(lambda: _stage(client) == "fit")

        server.should_exit = True
        start = time.monotonic()
        reply = _rest(connection)

    assert time.monotonic() - start < 15
    _check(reply, 503)
    assert b"connection: close" in reply


def _stage(client: Client) -> str:
    trainings = client.get("/trainings").json()["trainings"]
    return str(trainings[0].get("stage")) if trainings else ""


def test_what_is_not_answered_in_time_gets_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Trainings go on, so that who waits for one waits for longer than the server does.
    monkeypatch.setattr("service.trainer.Trainer.stop", lambda _: None)
    body = json.dumps(ENDLESS).encode()
    service = running(settings_for(tmp_path / "data"), FakeRegistry(tmp_path))
    with service as (server, client), _connect(client, 30) as connection:
        server.drain_seconds = 0.2
        request = HEAD.replace(b"/predict", b"/train") + b"content-length: %d\r\n\r\n" % len(body)
        connection.sendall(request + body)
        wait_until(lambda: _stage(client) == "fit")

        server.should_exit = True
        reply = _rest(connection)

    _check(reply, 503)
    assert re.search(rb"retry-after: \d", reply)
    # uvicorn's own answer to the request that was cut off is not even tried.
    assert not [record for record in caplog.records if record.name == "asyncio"]
