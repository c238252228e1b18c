"""A response that closes the connection arrives, even if the request was not read to its end."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.auth.api_keys import ApiKeys
from service.schema.contract import Feature, Schema
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.site import Site, predictor_for
from tests.support.sockets import HEAD, connect, rest

SCHEMA = Schema((Feature("a", "number"),), ("x", "y"))
BODY = b'{"instances": [[1]]}'


def head(length: int) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % length


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
        pytest.param([head(10**5) + b" " * 10**5], True, False, id="whole"),
        pytest.param([head(10**5)], False, True, id="head alone"),
        pytest.param([head(10**5), b" " * 5, b" " * (10**5 - 5)], False, True, id="body behind"),
        pytest.param([head(10**6), b" " * 200_000], False, True, id="large body"),
    ],
)
def test_a_connection_that_ends_with_an_answer_is_not_reset(
    keys: Path, segments: list[bytes], closed: bool, ended: bool
) -> None:
    async def scene() -> None:
        site = Site(predictor_for(SCHEMA), ApiKeys(keys))
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


@pytest.mark.parametrize("segments", [[head(len(BODY)) + BODY], [head(len(BODY)), BODY]])
def test_a_short_request_without_a_right_costs_no_connection(
    keys: Path, segments: list[bytes]
) -> None:
    async def scene() -> None:
        site = Site(predictor_for(SCHEMA), ApiKeys(keys))
        protocol, transport = site.connect()

        for _ in range(3):
            for segment in segments:
                protocol.data_received(segment)
                await site.settle()

        assert transport.written.count(b"HTTP/1.1 401 ") == 3
        assert (transport.closing, transport.ended) == (False, False)

    asyncio.run(scene())


def test_a_client_that_sends_its_body_after_the_answer_gets_the_answer(client: Client) -> None:
    with connect(client) as sender:
        sender.sendall(head(10**5))
        received = sender.recv(1)
        sender.sendall(b" " * 10**5)
        received += rest(sender)

    answer, _, problem = received.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert json.loads(problem)["status"] == 401


def test_a_client_that_still_sends_too_much_gets_the_answer(client: Client) -> None:
    size = 64 * 2**20
    with connect(client, 30) as sender:
        key = b"content-type: application/json\r\nauthorization: Bearer key"
        sender.sendall(head(size).replace(b"content-type: application/json", key))
        for _ in range(160):  # more than the limit of the service and the socket buffers
            sender.sendall(b" " * 65_536)
        received = sender.recv(65_536)

    assert received.startswith(b"HTTP/1.1 413 ")
