"""`POST /predict`, spoken as plain ASGI ahead of FastAPI's routing: the hot path."""

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from time import perf_counter
from typing import Any, cast

from starlette.requests import Request

from service import problems
from service.api import columns
from service.api.columns import Gone
from service.api.crew import Crew
from service.api.turns import Turns
from service.bulk import Media
from service.errors import (
    BodyTooLarge,
    EpochNotReached,
    InvalidRequest,
    NoModelInUse,
    Overloaded,
    ServiceError,
    UnsupportedMediaType,
    clip,
)
from service.gate import Gate
from service.logs import request_id
from service.metrics import Metrics
from service.predictor import Predictor
from service.schema.explanation import InvalidInput
from service.slot import InUse, Slot

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

App = Callable[[Scope, Receive, Send], Awaitable[None]]

Reader = Callable[[Predictor, bytes], tuple[bytes, int]]

READERS: Mapping[bytes, Reader | Media] = {
    b"application/json": Predictor.predict,
    **columns.MEDIA,
}
"""What reads a body of each content type and answers it, or the kind of file that it is."""

logger = logging.getLogger(__name__)

DEFECT = "The service met an internal error; its log has the request's id."

_SHORT = 65_536
"""A single row longer than this many bytes is not looked for."""

_JSON = (b"content-type", b"application/json")


class _Route:
    """What is kept for one model in use: headers and counters, made once."""

    def __init__(self, in_use: InUse, metrics: Metrics) -> None:
        self.in_use = in_use
        self.predictor = in_use.predictor
        self.one_row = in_use.predictor.one_row
        self.turns = Turns(in_use.predictor)
        self.model_headers = model_headers(in_use)
        self.headers = [_JSON, *self.model_headers]
        name, version = in_use.name, in_use.version
        self.ok = metrics.predict.of(name, version, "ok").observe
        self._metrics = metrics

    def observe(self, outcome: str, seconds: float) -> None:
        """Count a request that was not answered with a prediction."""
        self._metrics.predict.of(self.in_use.name, self.in_use.version, outcome).observe(seconds)


def model_headers(in_use: InUse) -> list[tuple[bytes, bytes]]:
    """Give the headers of a reply that used this model."""
    return [
        (b"x-model-name", in_use.name.encode()),
        (b"x-model-version", str(in_use.version).encode()),
        (b"x-model-epoch", str(in_use.epoch).encode()),
    ]


class Predict:
    """The route as an ASGI application."""

    def __init__(
        self,
        slot: Slot,
        gate: Gate,
        metrics: Metrics,
        max_body_bytes: int,
        max_in_flight: int,
        threads: int,
    ) -> None:
        self._slot = slot
        self._gate = gate
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._route: _Route | None = None
        self._crew = Crew(threads, max_in_flight, metrics.in_flight)
        self._counted = metrics.requests.labels("/predict", "POST", "200").inc

    def close(self) -> None:
        """Let the threads go."""
        self._crew.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = perf_counter()
        content_type = encoding = length = sent_id = min_epoch = None
        reader: Reader | Media = Predictor.predict
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name == b"content-length":
                length = value
            elif name == b"content-encoding":
                encoding = value
            elif name == b"x-request-id":
                sent_id = value
            elif name == b"x-min-epoch":
                min_epoch = value
        if self._gate.shut is not None:
            await self._gate.shut.wait()
        in_use = self._slot.in_use
        route = self._route
        if route is None or route.in_use is not in_use:
            route = self._renew(in_use)
        try:
            if min_epoch is not None:
                _check_epoch(min_epoch, self._slot.epoch)
            if content_type != b"application/json" or encoding is not None:
                reader = _reader(content_type, encoding)
            if not callable(reader):
                await self._columns(scope, receive, send, route, reader, sent_id, start)
                return
            if route is not None and route.predictor.slow and self._crew.full:
                raise Overloaded  # before the body is read
            message = await receive()
            body = message.get("body", b"")
            if message.get("more_body") or len(body) > self._max_body_bytes:
                body = await self._rest(body, length, receive)
            if route is None:
                raise NoModelInUse(self._slot.trouble)
            values = None
            if len(body) < _SHORT and reader is Predictor.predict:
                values = route.one_row(body)
            if values is None:
                reply, rows = await self._answer(route.predictor, reader, body)
            else:
                rows = 1
                if route.turns.alone():
                    reply = route.predictor.predict_row(values)
                else:
                    reply = await route.turns.join(values)
        except ServiceError as error:
            await self._refuse(error, route, sent_id, start, send, as_csv=reader == "csv")
            return
        except Gone:
            return
        except Exception:
            # The edge of the route: whatever comes here is a defect of ours.
            logger.exception("POST /predict met a defect")
            answer = problems.plain(500, DEFECT, problems.request_id_of(sent_id))
            await self._send(answer, (), send)
            if route is not None:
                route.observe("error", perf_counter() - start)
            return
        await self._reply(reply, route.headers, sent_id, send)
        route.ok(perf_counter() - start, rows)
        self._counted()

    async def _columns(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        route: _Route | None,
        media: Media,
        sent_id: bytes | None,
        start: float,
    ) -> None:
        """Answer a file of rows."""
        if route is None:
            raise NoModelInUse(self._slot.trouble)
        request = Request(scope, cast(Any, receive))
        reply, rows, kind = await columns.answer(request, route.predictor, media)
        headers = [(b"content-type", kind), *route.model_headers]
        await self._reply(reply, headers, sent_id, send)
        route.ok(perf_counter() - start, rows)
        self._counted()

    @staticmethod
    async def _reply(
        reply: bytes, headers: list[tuple[bytes, bytes]], sent_id: bytes | None, send: Send
    ) -> None:
        headers = [*headers, (b"content-length", b"%d" % len(reply))]
        if sent_id is not None:
            headers.append((b"x-request-id", problems.request_id_of(sent_id).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": reply})

    def _renew(self, in_use: InUse | None) -> _Route | None:
        self._route = None if in_use is None else _Route(in_use, self._metrics)
        if in_use is not None:
            self._crew.expect(in_use.predictor.pace.base)
        return self._route

    async def _rest(self, body: bytes, length: bytes | None, receive: Receive) -> bytes:
        """Read the rest of a body, never more than the limit of it."""
        limit = self._max_body_bytes
        if length is not None and length.isdigit() and int(length[:20]) > limit:
            raise BodyTooLarge("The body", limit, "bytes")
        parts = [body]
        size = len(body)
        while size <= limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if not message.get("more_body"):
                break
        if size > limit:
            raise BodyTooLarge("The body", limit, "bytes")
        return b"".join(parts)

    async def _answer(self, predictor: Predictor, reader: Reader, body: bytes) -> tuple[bytes, int]:
        """Answer here what is quick, and in a thread what is not."""
        if reader is Predictor.predict:
            found = predictor.predict_at_once(body)
            if found is not None:
                return found
        return await self._crew.run(reader, predictor, body)

    async def _send(
        self, answer: problems.Answer, headers: Sequence[tuple[bytes, bytes]], send: Send
    ) -> None:
        start = {"type": "http.response.start", "status": answer.status}
        await send({**start, "headers": [*answer.headers, *headers]})
        await send({"type": "http.response.body", "body": answer.body})
        self._metrics.requests.labels("/predict", "POST", str(answer.status)).inc()

    async def _refuse(
        self,
        error: ServiceError,
        route: _Route | None,
        sent_id: bytes | None,
        start: float,
        send: Send,
        as_csv: bool = False,
    ) -> None:
        identifier = problems.request_id_of(sent_id)
        request_id.set(identifier)
        extra: dict[str, Any] = {}
        headers: Sequence[tuple[bytes, bytes]] = ()
        if route is not None:
            headers = route.model_headers
            if isinstance(error, InvalidInput):
                extra = _explained(error, route.predictor)
                if as_csv and "example" in extra:
                    extra["example"] = route.predictor.guide.csv
        answer = problems.answer(error, identifier, extra)
        if isinstance(error, BodyTooLarge):
            headers = [*headers, (b"connection", b"close")]
        await self._send(answer, headers, send)
        if answer.status < 500:
            self._metrics.invalid.labels(answer.slug).inc()
        if route is not None:
            outcome = "invalid" if answer.status < 500 else "refused"
            route.observe(outcome, perf_counter() - start)


def _check_epoch(wanted: bytes, served: int) -> None:
    """Refuse to answer from an epoch before the one that the client has seen."""
    if not (wanted.isdigit() and len(wanted) <= 18):
        raise InvalidRequest("X-Min-Epoch must be an epoch: a whole number.")
    if served < int(wanted):
        raise EpochNotReached(int(wanted), served)


def _reader(content_type: bytes | None, encoding: bytes | None) -> Reader | Media:
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise UnsupportedMediaType(
            f"Content-Encoding {encoding.decode('latin-1')[:40]!r}", ["the body as it is"]
        )
    kind = (content_type or b"").split(b";")[0].strip().lower()
    if kind not in READERS:
        accepted = [name.decode() for name in READERS]
        raise UnsupportedMediaType(f"{kind.decode('latin-1')[:64]!r}" if kind else "", accepted)
    return READERS[kind]


def _explained(error: InvalidInput, predictor: Predictor) -> dict[str, Any]:
    """Give what the 400 of `/predict` adds: the model, what it expects, and a right request."""
    members, whole = predictor.guide.members(error.features)
    if not whole:
        members["detail"] = f"{clip(error, 520)} GET /schema shows all that the model expects."
    return {"model": {"name": predictor.name, "version": predictor.version}, **members}
