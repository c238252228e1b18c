"""Errors as RFC 9457 problems, or as another protocol has them: one table from class to status."""

import itertools
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import Send

from service.common import errors
from service.common.errors import (
    ClassifierUnavailable,
    Forbidden,
    InvalidInput,
    JobFailed,
    JobStopped,
    Problem,
    RateExceeded,
    ServiceError,
    Unauthorized,
)

MEDIA_TYPE = b"application/problem+json"

TABLE: Mapping[type[ServiceError], tuple[int, str, str]] = {
    errors.InvalidRequest: (400, "invalid-request", "Invalid request"),
    InvalidInput: (400, "invalid-input", "Invalid input"),
    errors.UnusableData: (400, "unusable-data", "Unusable data"),
    JobFailed: (400, "training-failed", "Training failed"),
    errors.ModelNotFound: (404, "model-not-found", "Model not found"),
    errors.VersionNotFound: (404, "version-not-found", "Version not found"),
    errors.AliasNotFound: (404, "alias-not-found", "Alias not found"),
    errors.TrainingNotFound: (404, "training-not-found", "Training not found"),
    errors.DataSetNotFound: (404, "data-set-not-found", "Data set not found"),
    errors.ModelTypeNotFound: (404, "model-type-not-found", "Model type not found"),
    errors.TrafficNotFound: (404, "traffic-not-found", "Traffic not found"),
    errors.ServiceNotFound: (404, "service-not-found", "Service not found"),
    errors.VersionInUse: (409, "version-in-use", "Version in use"),
    errors.VersionNotServable: (409, "version-not-servable", "Version not servable"),
    errors.DataSetConflict: (409, "data-set-conflict", "Data set conflict"),
    errors.IdempotencyConflict: (409, "idempotency-conflict", "Idempotency conflict"),
    errors.TrainingRefused: (409, "training-refused", "Training refused"),
    errors.TrainingEnded: (409, "training-ended", "Training ended"),
    errors.TrainingCancelled: (409, "training-cancelled", "Training cancelled"),
    JobStopped: (409, "training-cancelled", "Training cancelled"),
    errors.NothingToCompare: (409, "nothing-to-compare", "Nothing to compare"),
    errors.TrafficRefused: (409, "traffic-refused", "Traffic refused"),
    errors.EpochConflict: (409, "epoch-conflict", "Epoch conflict"),
    Unauthorized: (401, "unauthorized", "Unauthorized"),
    Forbidden: (403, "forbidden", "Forbidden"),
    errors.ForeignOrigin: (403, "foreign-origin", "Foreign origin"),
    errors.NotAPeer: (403, "not-a-peer", "Not a peer"),
    errors.BodyTooLarge: (413, "body-too-large", "Body too large"),
    errors.UnsupportedMediaType: (415, "unsupported-media-type", "Unsupported media type"),
    RateExceeded: (429, "rate-exceeded", "Rate exceeded"),
    errors.QueueFull: (429, "queue-full", "Queue full"),
    errors.NoModelInUse: (503, "no-model-in-use", "No model in use"),
    errors.RegistryUnavailable: (503, "mlflow-unavailable", "MLflow unavailable"),
    errors.ReplicaDown: (503, "replica-down", "Replica down"),
    errors.ChangeUnderWay: (503, "change-under-way", "Change under way"),
    errors.EpochNotReached: (503, "epoch-not-reached", "Epoch not reached"),
    errors.ReplicaSilent: (503, "replica-silent", "Replica silent"),
    errors.WorkersUnavailable: (503, "children-unavailable", "Children unavailable"),
    errors.WorkerCrashed: (503, "worker-crashed", "Worker crashed"),
    ClassifierUnavailable: (503, "classifier-unavailable", "Classifier unavailable"),
    errors.TrainingLost: (503, "training-lost", "Training lost"),
    errors.StorageUnavailable: (503, "storage-unavailable", "Storage unavailable"),
    errors.LargeUploadUnderWay: (503, "large-upload-under-way", "Large upload under way"),
    errors.DataSetBusy: (503, "data-set-busy", "Data set busy"),
    errors.NotReady: (503, "not-ready", "Not ready"),
    errors.Overloaded: (503, "overloaded", "Overloaded"),
}
"""Every leaf of the error hierarchy, but StartError, which no client ever sees."""

PLAIN: Mapping[int, tuple[str, str]] = {
    400: ("bad-request", "Bad request"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    408: ("request-timeout", "Request timeout"),
    431: ("headers-too-large", "Headers too large"),
    500: ("internal-error", "Internal error"),
}
"""Answers that no ServiceError stands for: before a route is found, or for a defect."""

_MOST_BYTES = 3000
"""Bytes of listed problems, so that a reply without example and `expected` is within 4 KiB."""

_LONGEST_WAIT = 5
"""The longest Retry-After, in seconds."""

_SANE = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A problem, ready to be sent."""

    status: int
    slug: str
    body: bytes
    headers: Sequence[tuple[bytes, bytes]]
    shown: Mapping[str, Any]
    """What the body is made of."""

    async def send(self, send: Send, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Send it to an ASGI server, with `more` headers."""
        headers = [*self.headers, *more]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


_OWN = secrets.token_hex(8)
_NUMBERS = itertools.count()
_JITTER = itertools.cycle((0, 2, 1))


def request_id_of(sent: bytes | None) -> str:
    """Return the client's request id if it is sane, else a new one: 32 hexadecimal digits.

    The first half identifies the process; ids are not secret.
    """
    if sent and _SANE.fullmatch(sent):
        return sent.decode()
    return f"{_OWN}{next(_NUMBERS):016x}"


def as_problem(members: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
    """Return the content type and the body of an error as RFC 9457 has it."""
    return MEDIA_TYPE, members


def as_error(members: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
    """Return those of the Open Inference Protocol and of KServe's V1: one sentence."""
    sentence = str(members["detail"])
    if "example" in members:
        sentence += f" A request that works: {orjson.dumps(members['example']).decode()}"
    return _JSON, {"error": sentence}


def as_error_code(members: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
    """Return those of MLflow's scoring protocol."""
    code = _CODES.get(members["status"], "BAD_REQUEST")
    shown = {"error_code": code, "message": members["detail"]}
    return _JSON, {**shown, **{key: members[key] for key in ("example",) if key in members}}


_JSON = b"application/json"
_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "INVALID_STATE",
    413: "REQUEST_LIMIT_EXCEEDED",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}

Shape = Callable[[Mapping[str, Any]], tuple[bytes, Mapping[str, Any]]]
"""Makes the content type and the body of an error in one protocol from an RFC 9457 problem."""


def shape_of(path: str) -> Shape:
    """Return the shape of errors of the protocol that a path belongs to."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return _SHAPES.get(first, as_problem)


_SHAPES: Mapping[str, Shape] = {
    "v2": as_error,
    "v1": as_error,
    **dict.fromkeys(("invocations", "ping", "health", "version"), as_error_code),
}


def answer(
    error: ServiceError,
    request_id: str,
    extra: Mapping[str, Any] | None = None,
    shape: Shape = as_problem,
) -> Answer:
    """Return the reply for an error; `extra` are members beside the standard ones."""
    status, slug, title = TABLE[type(error)]
    members: dict[str, Any] = {}
    if isinstance(error, errors.InvalidRequest) and error.problems:
        members["errors"] = _fitting(error.problems)
    if (outcome := getattr(error, "outcome", None)) is not None:
        members["outcome"] = outcome
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(error, errors.Unavailable):
        # Jittered, so that clients that were refused together do not return together.
        wait = min(error.retry_after, _LONGEST_WAIT - 2) + next(_JITTER)
        headers.append((b"retry-after", str(wait).encode()))
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    members = {**members, **(extra or {})}
    return _make(status, slug, title, str(error), request_id, members, headers, shape)


def plain(
    status: int,
    detail: str,
    request_id: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
    shape: Shape = as_problem,
) -> Answer:
    """Return the reply for a status that no ServiceError stands for."""
    slug, title = PLAIN.get(status, PLAIN[400] if status < 500 else PLAIN[500])
    return _make(status, slug, title, detail, request_id, {}, headers, shape)


def _make(
    status: int,
    slug: str,
    title: str,
    detail: str,
    request_id: str,
    members: Mapping[str, Any],
    headers: Sequence[tuple[bytes, bytes]],
    shape: Shape,
) -> Answer:
    media_type, shown = shape(
        {
            "type": f"/problems/{slug}",
            "title": title,
            "status": status,
            "detail": errors.clip(detail, 600),
            **members,
        }
    )
    body = orjson.dumps(shown)
    fixed = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
    ]
    return Answer(status, slug, body, [*fixed, *headers], shown)


def _fitting(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """Return as many problems as fit, at most 20 and at least the first."""
    listed: list[dict[str, str]] = []
    room = _MOST_BYTES
    for problem in problems[:20]:
        shown = {"pointer": problem.pointer, "message": errors.clip(problem.message, 400)}
        room -= len(orjson.dumps(shown)) + 1
        if room < 0 and listed:
            break
        listed.append(shown)
    return listed
