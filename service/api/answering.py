"""What all requests for predictions share: what answers them, admission, bodies, threads."""

from collections.abc import Mapping
from typing import NoReturn, TypeVar

from starlette.exceptions import HTTPException
from starlette.types import Receive

from service.api.content_headers import declared_bytes
from service.api.parameters import checked_version
from service.common.errors import (
    BodyTooLarge,
    ClientGone,
    EpochNotReached,
    InvalidRequest,
    NoModelInUse,
    Overloaded,
)
from service.common.metrics import Metrics
from service.rollout.hold import Hold
from service.serving.admission import Admission
from service.serving.batching import ThreadBatcher
from service.serving.current_model import CurrentModel
from service.serving.loaded_versions import LoadedVersions
from service.serving.predictor import Predictor
from service.serving.question import Question, Reader
from service.serving.served_model import ServedModel
from service.serving.split import goes_to_second

T = TypeVar("T")


class Answering:
    """Finds versions, admits requests and has them answered, for every route that predicts."""

    def __init__(
        self,
        current_model: CurrentModel,
        versions: LoadedVersions,
        hold: Hold,
        metrics: Metrics,
        max_body_bytes: int,
        max_in_flight: int,
        threads: int,
    ) -> None:
        self.hold = hold
        self.metrics = metrics
        self.versions = versions
        self.max_body_bytes = max_body_bytes
        self.admission = Admission(max_in_flight, metrics.in_flight)
        self.thread_batcher = ThreadBatcher(self.admission, threads)
        self._current_model = current_model
        self._served: ServedModel | None = None
        self._second: ServedModel | None = None

    def close(self) -> None:
        """Let the threads and the versions go."""
        self.thread_batcher.close()
        self.versions.close()

    def in_use(self) -> ServedModel | None:
        """Return the model in use; None before the first."""
        in_use = self._current_model.in_use
        served = self._served
        if in_use is None:
            return None
        if served is None or served.loaded is not in_use:
            for old in (served, self._second):
                if old is not None:
                    old.close()
            self._served = served = ServedModel(in_use, self.metrics)
            second = in_use.second
            self._second = None if second is None else ServedModel(second, self.metrics)
        return served

    @property
    def second(self) -> ServedModel | None:
        """The version beside the one that `in_use` returned last, if there is one."""
        return self._second

    def _shared(self, served: ServedModel, headers: Mapping[bytes, bytes] | None) -> ServedModel:
        """Return what answers a request to the version in use: while traffic is split, either."""
        traffic = served.loaded.traffic
        second = self._second
        if traffic is None or second is None or headers is None:
            return served
        return second if goes_to_second(traffic, headers.get(traffic.key.encode())) else served

    async def find(
        self,
        name: str | None,
        version: str | None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> ServedModel | None:
        """Return what answers a request; None where no model is in use and none is named.

        Without `name` that is the model in use; with it and without `version` the version in use of
        that model, or its newest one that can be served. `headers` are those of a prediction, with
        names in lower case: where traffic is split, they decide whether the second version answers
        instead of the one in use. Without them it is never the second one.

        Raises EpochNotReached, NoModelInUse where the version in use is meant and not served yet,
        or what `LoadedVersions.get` raises.
        """
        min_epoch = None if headers is None else headers.get(b"x-min-epoch")
        if self.hold.event is not None:
            await self.hold.event.wait()
        if min_epoch is not None:
            _check_epoch(min_epoch, self._current_model.epoch)
        served = self.in_use()
        if name is None:
            return None if served is None else self._shared(served, headers)
        number = checked_version(name, version)
        if served is not None and served.loaded.name == name:
            if number is None:
                return self._shared(served, headers)
            if number == served.loaded.version:
                return served
        second = self._second
        if second is not None and (name, number) == (second.loaded.name, second.loaded.version):
            return second
        if number is None:
            self.check_in_use()
        return await self.versions.get(name, number)

    def check_in_use(self) -> None:
        """Raise NoModelInUse while a model may be in use in other replicas alone.

        Any model may be that one then, and its newest version another than the one in use.
        """
        if self._current_model.in_use is None and not self._current_model.was_never_set:
            raise self.no_model_in_use()

    def is_full(self, predictor: Predictor, body_bytes: int) -> bool:
        """Return whether a request of this size has to run in a thread and would be refused."""
        if not predictor.slow and predictor.is_quick(body_bytes):
            return False
        return self.thread_batcher.is_full(predictor, min(body_bytes, self.max_body_bytes))

    def no_model_in_use(self) -> NoModelInUse:
        """Return the error for a request that nothing can answer."""
        return NoModelInUse(self._current_model.load_error)

    async def receive(
        self, served: ServedModel | None, length: bytes | None, receive: Receive
    ) -> bytes:
        """Return the body of a request.

        Raises Overloaded, before it is read, where `served` could not answer it soon, BodyTooLarge,
        or ClientGone.
        """
        if served is not None and self.is_full(served.predictor, declared_bytes(length)):
            raise Overloaded
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if message.get("more_body") or len(body) > self.max_body_bytes:
            return await self.receive_rest(body, length, receive)
        return body

    async def receive_rest(self, body: bytes, length: bytes | None, receive: Receive) -> bytes:
        """Return a body of which the first part was received; raises like `receive`."""
        limit = self.max_body_bytes
        if declared_bytes(length) > limit:
            raise BodyTooLarge("The body", limit, "bytes")
        parts = [body]
        size = len(body)
        while size <= limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if not message.get("more_body"):
                break
        if size > limit:
            raise BodyTooLarge("The body", limit, "bytes")
        return b"".join(parts)

    async def answer(self, predictor: Predictor, reader: Reader[T], body: bytes) -> tuple[T, int]:
        """Answer a body on the event loop if that is quick, else in a thread.

        Return the reply and the number of its rows. Raises like `Reader.careful` and
        `Predictor.answer`, or Overloaded.
        """
        if predictor.is_quick(len(body)):
            question = reader.quick(body)
            if question is None and predictor.decoder.explains_at_once(body):
                question = reader.careful(body)
            if question is not None:
                return predictor.answer(question)
        size = len(body)
        seconds = predictor.seconds_of_bytes(size)
        return await self.thread_batcher.run(
            predictor, size, seconds, _read_and_answer, predictor, reader, body
        )


def _read_and_answer(predictor: Predictor, reader: Reader[T], body: bytes) -> tuple[T, int]:
    question: Question[T] | None = reader.quick(body)
    return predictor.answer(reader.careful(body) if question is None else question)


def only_described() -> NoReturn:
    """Answer 404 in a route that FastAPI only describes, as `application` answers it before.

    A path with a line break at its end comes here all the same: FastAPI's `$` matches before it.
    """
    raise HTTPException(404)


def _check_epoch(wanted: bytes, served: int) -> None:
    """Raise EpochNotReached where the client has seen a later epoch than this replica."""
    if not (wanted.isdigit() and len(wanted) <= 18):
        raise InvalidRequest("X-Min-Epoch must be an epoch, an integer.")
    if served < int(wanted):
        raise EpochNotReached(int(wanted), served)
