"""One loaded version with all that its requests need: predictor, headers, counters, batcher."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from service.common.metrics import Metrics
from service.serving.batching import LoopBatcher, deliver
from service.serving.current_model import LoadedVersion
from service.serving.predictor import Predictor

T = TypeVar("T")

Headers = Sequence[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")


class ServedModel:
    """Headers, counters and batcher of one loaded version; made on the event loop's thread."""

    def __init__(self, loaded: LoadedVersion, metrics: Metrics) -> None:
        self.loaded = loaded
        self.predictor = loaded.predictor
        self.model_headers = model_headers(loaded)
        self.headers = [JSON, *self.model_headers]
        """The headers of a prediction, without content-length."""
        self._latencies = metrics.predict.open(loaded.name, loaded.version)
        self.ok = self._latencies["ok"].observe
        self.loop_batcher: LoopBatcher[asyncio.Future[bytes]] = LoopBatcher(self.predictor, deliver)
        self._metrics = metrics
        self._codecs: dict[Callable[[Predictor], Any], Any] = {}

    def codec(self, make: Callable[[Predictor], T]) -> T:
        """Return what `make` prepares of the version for a protocol; it is called only once."""
        codec: T | None = self._codecs.get(make)
        if codec is None:
            codec = self._codecs[make] = make(self.predictor)
        return codec

    def observe(self, outcome: str, seconds: float) -> None:
        """Count a request that got no prediction, by its outcome."""
        self._latencies[outcome].observe(seconds)

    def fail(self) -> None:
        """Count a request that it could not answer, where it is compared with another version."""
        if self.predictor.tally is not None:
            self.predictor.tally.fail()

    def close(self) -> None:
        """Close its counters, as it gets no further requests."""
        self._metrics.predict.close(self.loaded.name, self.loaded.version)


def model_headers(loaded: LoadedVersion) -> list[tuple[bytes, bytes]]:
    """Return the headers that name the version of a reply; only one in use has an epoch.

    The name is quoted as in a URL, since it may have characters that a header cannot hold.
    """
    headers = [
        (b"x-model-name", quote(loaded.name, safe="").encode()),
        (b"x-model-version", str(loaded.version).encode()),
    ]
    if loaded.epoch:
        headers.append((b"x-model-epoch", str(loaded.epoch).encode()))
    return headers
