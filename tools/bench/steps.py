"""Where the time for one prediction goes, step by step: `python -m tools.bench.steps`.

No socket is involved and only processor time is counted, so that other work on the machine
changes the figures little. Each step is measured alone, with its caches warm.
"""

import argparse
import asyncio
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import thread_time
from typing import Any

import httptools

from service.auth.api_keys import ApiKeys
from service.models.onnx_classifier import OnnxClassifier
from service.schema.contract import Feature, Schema
from service.schema.decoder import Limits
from service.serving.predictor import Predictor
from service.worker.onnx_export.builder import Graph
from service.worker.onnx_export.trees import emit_forest
from tests.support.site import FakeTransport, Site
from tests.support.tables import table, write
from tools.bench.forest import Forest, load

_CROWD = 8
_KEY = b"a-key-of-some-length-as-they-are"


class _Deaf:
    """Ignores all callbacks of a parser."""

    def on_message_begin(self) -> None:
        pass

    on_headers_complete = on_message_complete = on_message_begin

    def on_url(self, _: bytes) -> None:
        pass

    on_body = on_url

    def on_header(self, _: bytes, __: bytes) -> None:
        pass


class _Bin(FakeTransport):
    """A transport that discards what is written to it."""

    def write(self, data: bytes) -> None:
        self.written = data


def measure(count: int) -> str:
    """Time the steps; return the table."""
    forest = load()
    body = json.dumps({"instances": forest.named(forest.X[:1])}).encode()
    head = b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    request = head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    predictor = predictor_of(forest)
    found = predictor.decode_row(body)
    assert found is not None
    row = found[0]
    parser = httptools.HttpRequestParser(_Deaf())
    rows = [
        ["httptools parses the request", _time(lambda: parser.feed_data(request), count)],
        ["the row is decoded and checked", _time(lambda: predictor.decode_row(body), count)],
        ["the model runs, 1 row", _time(lambda: predictor.predict_rows([row]), count)],
    ]
    for size in (_CROWD, 32):
        many = [row] * size
        took = _time(lambda many=many: predictor.predict_rows(many), count // size)  # type: ignore[misc]
        rows.append([f"the model runs, {size} rows: each", took / size])
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(f"predict: {hashlib.sha256(_KEY).hexdigest()}\n")
        file.flush()
        keys = ApiKeys(Path(file.name))
        with_key = request.replace(b"\r\n", b"\r\nauthorization: Bearer " + _KEY + b"\r\n", 1)
        for name, sent, changes in (
            ("fast path", request, {"short_way": True}),
            ("fast path with a key", with_key, {"keys": keys}),
            ("ordinary path", request, {"short_way": False}),
        ):
            for size in (1, _CROWD, 32):
                took = asyncio.run(_whole(predictor, sent, size, count // size, **changes))
                rows.append([f"all of the {name}, {size} connections: each", took])
    note = f"A forest of 100 trees, 30 named numbers, {len(body)} bytes; {count} times each."
    return table("Steps", note, ["step", "processor us"], rows)


def predictor_of(forest: Forest) -> Predictor:
    """Return a predictor of the forest as the service converts it."""
    graph = Graph()
    answer = emit_forest(graph, forest.classifier, "X")
    classifier = OnnxClassifier(graph.model(answer, len(forest.names), 2))
    features = tuple(Feature(name, "number") for name in forest.names)
    schema = Schema(features, ("benign", "malignant"))
    predictor = Predictor("forest", 1, schema, classifier, Limits())
    predictor.warm()
    return predictor


def _time(function: Callable[[], Any], count: int) -> float:
    """Return the microseconds of one call, the best of five runs."""
    best = float("inf")
    for _ in range(5):
        start = thread_time()
        for _ in range(count // 5):
            function()
        best = min(best, (thread_time() - start) / (count // 5))
    return best * 1e6


async def _whole(
    predictor: Predictor, request: bytes, size: int, turns: int, **changes: Any
) -> float:
    """Return the microseconds of a request when this many connections send one per batch."""
    site = Site(predictor, **changes)
    connections = []
    for _ in range(size):
        protocol, _ = site.connect()
        protocol.transport = _Bin()
        connections.append(protocol.data_received)
    best = float("inf")
    for _ in range(5):
        start = thread_time()
        for _ in range(turns // 5):
            for receive in connections:
                receive(request)
            while site.state.tasks:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        best = min(best, (thread_time() - start) / (turns // 5) / size)
    site.close()
    return best * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.steps", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="of requests for each step")
    write(measure(parser.parse_args().count))


if __name__ == "__main__":
    main()
