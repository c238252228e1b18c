"""`POST /invocations`: rows in MLflow's four JSON forms, or as CSV or Parquet."""

from collections.abc import Mapping
from email.message import Message
from typing import Any

from service.api import problems
from service.api.answering import Answering
from service.api.prediction_route import ProtocolRoute, SentHeaders
from service.api.scoring.codec import ScoringCodec
from service.common.domain import RowsMedia
from service.common.errors import UnsupportedMediaType, clip
from service.serving.served_model import ServedModel

INVOCATIONS = "/invocations"

_FILES: Mapping[str, RowsMedia] = {
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
}
_ACCEPTED = ("application/json", *_FILES)


def invocations_route(answering: Answering) -> ProtocolRoute:
    """Return the route."""
    return ProtocolRoute(answering, INVOCATIONS, problems.as_error_code, _example, _open)


def _example(served: ServedModel) -> Any:
    return served.codec(ScoringCodec).example


def _open(served: ServedModel, headers: SentHeaders) -> ScoringCodec | RowsMedia:
    """Choose by the content type, which has no other parameter than `charset=utf-8`."""
    sent = headers.get(b"content-type", b"").decode("latin-1")
    message = Message()
    message["content-type"] = sent
    kind = message.get_content_type() if sent else "application/json"
    for name, value in message.get_params(failobj=[])[1:] if sent else ():
        # A parameter that names a charset of its own (RFC 2231) is no text.
        is_utf8 = isinstance(value, str) and value.lower() in ("utf-8", "utf8")
        if name.lower() != "charset" or not is_utf8:
            raise UnsupportedMediaType(f"{clip(sent)!r}", [f"{kind} without {clip(name, 24)}"])
    if kind in _FILES:
        return _FILES[kind]
    if kind != "application/json":
        raise UnsupportedMediaType(f"{clip(sent)!r}", _ACCEPTED)
    return served.codec(ScoringCodec)
