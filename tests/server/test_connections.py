"""Connection limits, pipelined requests, methods, and the shutdown of the server."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.server import closing
from service.server.limits import RESERVE
from service.server.server import Server
from service.training.queue import TrainingQueue
from tests.support.fakes import FakeRegistry
from tests.support.server import ENDLESS, Client, running, settings_for
from tests.support.sockets import HEAD, check, connect, one_reply, rest, talk
from tests.support.waiting import wait_until


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

    reply = talk(client, head + parts + b"0\r\n\r\n")

    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert b'"predictions":["setosa"]' in reply


def test_requests_sent_ahead_are_answered_in_order(client: Client) -> None:
    def request(row: bytes, last: bool) -> bytes:
        close = b"connection: close\r\n" if last else b""
        body = b'{"instances": [%s]}' % row
        return HEAD + close + b"content-length: %d\r\n\r\n%s" % (len(body), body)

    reply = talk(
        client, request(b"[5.1, 3.5, 1.4, 0.2]", False) + request(b"[6, 3, 5.5, 2.1]", True)
    )

    assert reply.index(b'["setosa"]') < reply.index(b'["virginica"]')


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[tuple[Server, Client]]:
    """A service that accepts two connections; no model is in use."""
    settings = settings_for(tmp_path / "data", idle_seconds=30.0, max_connections=2)
    with running(settings, FakeRegistry(tmp_path)) as started:
        yield started


def test_one_connection_too_many_is_503_and_probes_still_are_answered(
    narrow: tuple[Server, Client],
) -> None:
    server, client = narrow
    with ExitStack() as stack:
        held = [stack.enter_context(connect(client)) for _ in range(2)]
        wait_until(lambda: len(server.server_state.connections) == 2)

        refused = talk(client, HEAD + b"content-length: 2\r\n\r\n{}")
        probed = talk(client, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")

        check(refused, 503)
        assert re.search(rb"retry-after: \d", refused)
        assert probed.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in probed
        held[0].sendall(b"GET /models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert one_reply(held[0]).startswith(b"HTTP/1.1 200 OK")
    wait_until(lambda: not server.server_state.connections)
    assert client.get("/models").status_code == 200


def test_connections_beyond_the_reserve_are_503_at_once(narrow: tuple[Server, Client]) -> None:
    _, client = narrow
    with ExitStack() as stack:
        for _ in range(2 + RESERVE):
            stack.enter_context(connect(client))

        check(talk(client, b""), 503)


PATHS = {"name": "iris", "version": "1", "training": "a" * 32}


def test_405_lists_every_method_of_a_path(client: Client) -> None:
    for path, item in client.get("/openapi.json").json()["paths"].items():
        methods = {method.upper() for method in item}
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        for wrong in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - allowed:
            response = client.request(wrong, path.format(**PATHS))

            assert response.status_code == 405, (wrong, path)
            assert set(response.headers["allow"].split(", ")) == allowed, path
            assert "json" in response.headers["content-type"]


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
    # The next reply is read correctly: no unexpected body was sent.
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
    with connect(client) as probe, connect(client) as half:
        half.sendall(READY[:20])
        probe.sendall(READY)
        assert b"No model is in use" in one_reply(probe)

        server.should_exit = True
        last = wait_until(lambda: _last_reply(probe))
        half.sendall(READY[20:])

        check(last, 503)
        assert b"The replica is going away." in last
        assert rest(probe) == b""
        reply = rest(half)
        check(reply, 503)
        assert b"connection: close" in reply


def test_after_sigterm_a_connection_that_a_client_keeps_is_closed_by_an_answer(
    going: tuple[Server, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "LAST_CALL_SECONDS", 0.0)
    server, client = going
    server.last_call_seconds = 60.0
    with connect(client) as probe, connect(client) as kept:
        for connection in (probe, kept):
            connection.sendall(READY)
            assert b"No model is in use" in one_reply(connection)

        server.handle_exit(signal.SIGTERM, None)
        wait_until(lambda: _last_reply(probe))
        assert rest(probe) == b""
        kept.sendall(READY)

        assert b"connection: close" in rest(kept)


def _last_reply(connection: socket.socket) -> bytes | None:
    """Send one more request; return the response if it is the last one on the connection."""
    connection.sendall(READY)
    reply = one_reply(connection)
    return reply if b"connection: close" in reply else None


_WAITED_FOR = json.dumps({**ENDLESS, "wait": 60}).encode()
TRAIN = HEAD.replace(b"/predict", b"/train")
TRAIN += b"content-length: %d\r\n\r\n%b" % (len(_WAITED_FOR), _WAITED_FOR)
"""A request that waits for a training that does not end."""


def test_clients_that_wait_for_a_training_get_503_soon_after_a_shutdown_begins(
    going: tuple[Server, Client],
) -> None:
    server, client = going
    with connect(client, 30) as connection:
        connection.sendall(TRAIN)
        wait_until(lambda: _stage(client) == "fit")

        server.should_exit = True
        start = time.monotonic()
        reply = rest(connection)

    assert time.monotonic() - start < 15
    check(reply, 503)
    assert b"connection: close" in reply


def _stage(client: Client) -> str:
    trainings = client.get("/trainings").json()["trainings"]
    return str(trainings[0].get("stage")) if trainings else ""


def test_what_is_not_answered_in_time_gets_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Trainings go on, so that a client waits for longer than the server does.
    queues: set[TrainingQueue] = set()
    with monkeypatch.context() as patch:
        patch.setattr(TrainingQueue, "stop", lambda queue: queues.add(queue))
        reply = _reply_after_a_stop(tmp_path)
    for queue in queues:
        queue.stop()

    check(reply, 503)
    assert re.search(rb"retry-after: \d", reply)
    # uvicorn does not try to send its own response to the request that was cut off.
    assert not [record for record in caplog.records if record.name == "asyncio"]


def _reply_after_a_stop(folder: Path) -> bytes:
    """Stop a service whose client waits for a training; return what the client gets."""
    service = running(settings_for(folder / "data"), FakeRegistry(folder))
    with service as (server, client), connect(client, 30) as connection:
        server.drain_seconds = 0.2
        connection.sendall(TRAIN)
        wait_until(lambda: _stage(client) == "fit")

        server.should_exit = True
        return rest(connection)
