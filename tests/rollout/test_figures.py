"""The figures of the other replicas: each is asked once, and one that is silent is named."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.rollout.figures import Figures, Latency, Requests, Trainings
from service.rollout.peers import DiscoveredPeers, NoPeers
from service.server.server import listen, url
from tests.support.mlflow_server import free_port
from tests.support.server import settings_for

FIGURES = Figures(
    id="b", started_at=12.5, ready=True, model="iris", version=1, epoch=3, memory_bytes=10**8,
    in_flight=0, trainings=Trainings(1, 2), requests=Requests(5, 1, 0, 0), rows=9,
    latency=Latency((0.1, 1.0), (3, 1, 1)),
)  # fmt: skip
NOT_YET = replace(FIGURES, id="c", model=None, version=None, epoch=None, ready=False)


@contextmanager
def answering(content: bytes, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """Answer every call with this content; yield the address and the paths that are called."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            called.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", called
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def peers() -> Iterator[Callable[..., DiscoveredPeers]]:
    made: list[DiscoveredPeers] = []

    def make(*addresses: str) -> DiscoveredPeers:
        made.append(DiscoveredPeers(addresses, "me", ""))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_without_other_replicas_there_are_none() -> None:
    assert NoPeers().figures() == ((), ())


@pytest.mark.parametrize("sent", [FIGURES, NOT_YET])
def test_a_replica_is_asked_once_and_shown_with_its_address(
    peers: Callable[..., DiscoveredPeers], sent: Figures
) -> None:
    with answering(orjson.dumps(asdict(sent))) as (address, called):
        found, missing = peers(address).figures()

    assert (found, missing) == ([replace(sent, url=address)], [])
    assert called == ["/internal/figures"]


def test_this_replica_is_not_among_the_others(peers: Callable[..., DiscoveredPeers]) -> None:
    with answering(orjson.dumps(asdict(replace(FIGURES, id="me")))) as (address, _):
        assert peers(address).figures() == ([], [])


def changed(**members: Any) -> bytes:
    return orjson.dumps({**asdict(FIGURES), **members})


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 200),
        (b"[]", 200),
        (b"{}", 200),
        (changed(id=7), 200),
        (changed(rows=None), 200),
        (changed(latency={"bounds": [1.0], "counts": [1]}), 200),
        (changed(), 403),
        (b'{"type": "/problems/forbidden", "detail": "no"}', 403),
    ],
)
def test_an_answer_that_is_none_counts_as_missing(
    peers: Callable[..., DiscoveredPeers], content: bytes, status: int
) -> None:
    with answering(content, status) as (address, _):
        assert peers(address).figures() == ([], [address])


def test_what_a_newer_release_adds_is_ignored(peers: Callable[..., DiscoveredPeers]) -> None:
    with answering(changed(more=1)) as (address, _):
        found, _missing = peers(address).figures()

    assert [one.id for one in found] == ["b"]


def test_one_that_is_silent_or_down_is_named_and_keeps_the_others_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peers: Callable[..., DiscoveredPeers]
) -> None:
    monkeypatch.setattr("service.rollout.peer.CONFIRM_SECONDS", 0.2)
    listener = listen(settings_for(tmp_path))
    mute, down = url(listener), f"http://127.0.0.1:{free_port()}"
    with answering(orjson.dumps(asdict(FIGURES))) as (address, _):
        found, missing = peers(mute, address, down).figures()

    listener.close()
    assert [one.url for one in found] == [address]
    assert missing == [mute, down]


def test_replicas_that_cannot_be_found_are_said_to_be_unknown(
    peers: Callable[..., DiscoveredPeers],
) -> None:
    assert peers("dns://nothing.invalid:1").figures() == ([], ["unknown"])
