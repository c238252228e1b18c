"""Problems as statuses of gRPC: a code for each HTTP status, and a sentence for details."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import grpc
from google.protobuf import text_format

from service.api.problems import Answer
from service.serving.served_model import Headers

CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}

_MOST_BYTES = 4096
"""Of details as they are sent: clients take 8 KiB of metadata by default, all of it together."""

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

_OF_HTTP = (b"content-type", b"content-length", b"connection", b"www-authenticate")
"""Headers of a problem that say nothing here."""

Metadata = tuple[tuple[str, str], ...]


def as_details(members: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
    """Return a problem as one sentence, with a message that works where one is given and fits."""
    sentence = str(members["detail"])
    example = members.get("example")
    if example is not None:
        text = text_format.MessageToString(example, as_one_line=True, as_utf8=True)
        whole = f"{sentence} A message that works: {text.rstrip()}"
        fits = len(quote(whole, safe=_PRINTABLE)) <= _MOST_BYTES
        sentence = whole if fits else f"{sentence} ModelMetadata shows the inputs."
    return b"", {"details": sentence}


def details_of(answer: Answer) -> str:
    """Return the sentence of an answer that `as_details` has shaped."""
    return str(answer.shown["details"])


def metadata_of(answer: Answer, headers: Headers = ()) -> Metadata:
    """Return the headers of an answer that say something to clients of gRPC, and others."""
    own = [header for header in answer.headers if header[0] not in _OF_HTTP]
    return metadata([*own, *(header for header in headers if header[0] not in _OF_HTTP)])


def metadata(headers: Sequence[tuple[bytes, bytes]]) -> Metadata:
    """Return headers as metadata."""
    return tuple((name.decode(), value.decode("latin-1")) for name, value in headers)
