"""An answer that ends a connection arrives, also where the request is not read to its end."""

import asyncio
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.keys import Keys
from service.schema import Feature, Schema
from tests.fakes import FakeRegistry
from tests.server import Client, serve, settings_for
from tests.site import Site, predictor_for

SCHEMA = Schema((Feature("a", "number"),), ("x", "y"))
BODY = b'{"instances": [[1]]}'


def head(length: int) -> bytes:
    lines = (b"POST /predict HTTP/1.1", b"host: a", b"content-type: application/json")
    return b"\r\n".join([*lines, b"content-length: %d" % length, b"", b""])


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"predict: {hashlib.sha256(b'key').hexdigest()}\n")
    return path


@pytest.fixture
def client(tmp_path: Path, keys: Path) -> Iterator[Client]:
    settings = settings_for(tmp_path / "data", api_keys_file=keys)
    with serve(settings, FakeRegistry(tmp_path)) as client:
        yield client


@pytest.mark.parametrize(
    ("segments", "closed", "ended"),
    [
        pytest.param([head(len(BODY)) + BODY], True, False, id="whole"),
        pytest.param([head(len(BODY))], False, True, id="head alone"),
        pytest.param([head(len(BODY)), BODY[:5], BODY[5:]], False, True, id="body behind"),
        pytest.param([head(10**6), b" " * 200_000], False, True, id="large body"),
    ],
)
def test_a_connection_is_reset_under_no_answer(
    keys: Path, segments: list[bytes], closed: bool, ended: bool
) -> None:
    async def scene() -> None:
        site = Site(predictor_for(SCHEMA), Keys(keys))
        protocol, transport = site.connect()

        for segment in segments:
            protocol.data_received(segment)
            await site.settle()

        assert transport.written.count(b"HTTP/1.1 401 ") == 1
        assert (transport.closing, transport.ended) == (closed, ended)
        for _ in range(2):
            protocol.close_if_answered()
        assert transport.closing

    asyncio.run(scene())


def test_a_client_that_sends_its_body_after_the_answer_gets_the_answer(client: Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), 10) as sender:
        sender.sendall(head(len(BODY)))
        received = sender.recv(1)
        sender.sendall(BODY)
        while part := sender.recv(65_536):
            received += part

    answer, _, problem = received.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert json.loads(problem)["status"] == 401


def test_a_client_that_still_sends_too_much_gets_the_answer(client: Client) -> None:
    size = 64 * 2**20
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), 30) as sender:
        key = b"content-type: application/json\r\nauthorization: Bearer key"
        sender.sendall(head(size).replace(b"content-type: application/json", key))
        for _ in range(160):  # more than the service takes, and than lies between
            sender.sendall(b" " * 65_536)
        received = sender.recv(65_536)

    assert received.startswith(b"HTTP/1.1 413 ")
