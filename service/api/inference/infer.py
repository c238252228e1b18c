"""`POST /v2/models/{name}/infer` and KServe's `POST /v1/models/{name}:predict`."""

import re
from typing import Any

from service.api import problems
from service.api.answering import Answering
from service.api.inference.codec import InferenceCodec, InferenceReader
from service.api.inference.v1 import V1Codec
from service.api.prediction_route import ProtocolRoute, SentHeaders
from service.common.errors import InvalidInput, Problem, UnsupportedMediaType, clip
from service.serving.served_model import ServedModel

INFER = "/v2/models/{name}/infer"
INFER_BY_VERSION = "/v2/models/{name}/versions/{version}/infer"
PREDICT_V1 = "/v1/models/{name}:predict"

_MEDIA = ("application/json", "application/octet-stream")
_HEAD_BYTES = re.compile(rb"[0-9]{1,12}")


def infer_route(answering: Answering) -> ProtocolRoute:
    """Return the route of inference, by the version in use or the newest, or by a version."""
    return ProtocolRoute(answering, INFER, problems.as_error, _example, _open)


def v1_route(answering: Answering) -> ProtocolRoute:
    """Return the route of V1."""
    return ProtocolRoute(answering, PREDICT_V1, problems.as_error, _example_v1, _open_v1)


def _example(served: ServedModel) -> Any:
    return served.codec(InferenceCodec).example


def _open(served: ServedModel, headers: SentHeaders) -> InferenceReader:
    _check_media(headers)
    return InferenceReader(served.codec(InferenceCodec), head_bytes(headers))


def head_bytes(headers: SentHeaders) -> int | None:
    """Return the length of the JSON before binary tensors; None where all of the body is JSON."""
    sent = headers.get(b"inference-header-content-length")
    if sent is None:
        return None
    if not _HEAD_BYTES.fullmatch(sent):
        what = "Inference-Header-Content-Length must be a number of bytes"
        raise InvalidInput(f"{what}, not {clip(sent.decode('latin-1'))!r}.", [Problem("", what)])
    return int(sent)


def _example_v1(served: ServedModel) -> Any:
    return served.predictor.example


def _open_v1(served: ServedModel, headers: SentHeaders) -> V1Codec:
    _check_media(headers)
    return served.codec(V1Codec)


def _check_media(headers: SentHeaders) -> None:
    """Raise UnsupportedMediaType; clients of the protocol send JSON without a type."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if kind and kind not in _MEDIA:
        raise UnsupportedMediaType(f"{clip(kind)!r}", _MEDIA)
