"""Requests' bodies, read with a cap while they stream, and checked strictly."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from service.api.services import services_of
from service.common import domain
from service.common.did_you_mean import did_you_mean
from service.common.domain import LOG_OF_USE, is_name
from service.common.errors import (
    BodyTooLarge,
    InvalidRequest,
    ModelNotFound,
    Problem,
    UnsupportedMediaType,
    VersionNotFound,
    clip,
    escape,
)
from service.schema import strict_json

B = TypeVar("B", bound=BaseModel)

_LARGEST_SMALL = 64 * 1024
"""Bytes of a body that names things and holds no rows: it is parsed on the event loop."""


def media_type(request: Request) -> str:
    """Give the content type without its parameters; raises UnsupportedMediaType on an encoding."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType(f"Content-Encoding {clip(encoding)!r}", ["the body as it is"])
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def said_bytes(length: bytes | None) -> int:
    """Give how long a body is said to be by its Content-Length; 0 where it is not said."""
    return int(length[:20]) if length is not None and length.isdigit() else 0


async def read_json(request: Request, body_type: type[B]) -> B:
    """Read a small JSON body; raises InvalidRequest with every problem."""
    kind = media_type(request)
    if kind != "application/json":
        raise UnsupportedMediaType(clip(kind), ["application/json"])
    settings = services_of(request).settings
    limit = min(_LARGEST_SMALL, settings.max_body_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge("The body", limit, "bytes")
    value = strict_json.parse(bytes(body), settings.max_json_depth)
    return check(body_type, value)


def check(body_type: type[B], value: Any) -> B:
    """Check a parsed body; raises InvalidRequest with every problem."""
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", [Problem("", "must be an object")])
    try:
        return body_type.model_validate(value)
    except ValidationError as error:
        problems = [
            Problem(
                "".join(f"/{escape(part)}" for part in item["loc"]),
                _message(item["type"], item["msg"], str(item["loc"][-1]), body_type),
            )
            for item in error.errors(include_url=False, include_input=False)[:20]
        ]
        first = problems[0]
        raise InvalidRequest(f"{first.pointer} {first.message}.", problems) from error


def _message(kind: str, message: str, key: str, body_type: type[BaseModel]) -> str:
    if kind == "extra_forbidden":
        return f"is not a key of this request{did_you_mean(key, body_type.model_fields)}"
    if kind == "missing":
        return "is missing"
    return message.replace("Input should", "should")


def name_in_path(name: str) -> str:
    """Give a model's name from a path; one that can be no name is not found."""
    if not is_name(name) or name == LOG_OF_USE:
        raise ModelNotFound(name)
    return name


def version_in_path(name: str, version: str) -> int:
    """Give a version from a path; what is no number is not found."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise VersionNotFound(name, version)  # type: ignore[arg-type]
    return int(version)


_NAMES = "must be 1 to 128 of A-Z a-z 0-9 . _ -, and not . or .. alone"


def name_in_body(name: str) -> str:
    """Give the `name` of a body; raises InvalidRequest."""
    if not is_name(name):
        raise InvalidRequest(f"name {_NAMES}.", [Problem("/name", _NAMES)])
    return name


def name_in_query(name: str) -> str:
    """Give the `name` of a query; raises InvalidRequest."""
    if not is_name(name):
        raise InvalidRequest(f"The parameter name {_NAMES}.")
    return name


NAME = {"type": "string", "pattern": f"^{domain.NAME}$"}
"""The name of a model or a data set, as OpenAPI shows it."""

PAGING: list[dict[str, Any]] = [
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    },
    {
        "name": "page_token",
        "in": "query",
        "description": "The `next_page_token` of the page before.",
        "schema": {"type": "string", "pattern": f"^{domain.NEXT_PAGE}$"},
    },
]
"""The parameters of a listing, as OpenAPI shows them."""


def page_limit(request: Request) -> int:
    """Give the `limit` of a listing; raises InvalidRequest."""
    sent = request.query_params.get("limit", "100")
    if not re.fullmatch(r"[1-9][0-9]{0,3}", sent) or int(sent) > 1000:
        raise InvalidRequest(f"limit is {clip(sent)!r}; send a number from 1 to 1000.")
    return int(sent)


def page_token(request: Request) -> str | None:
    """Give the `page_token` of a listing, None for the first page; raises InvalidRequest."""
    sent = request.query_params.get("page_token")
    if sent is not None and not re.fullmatch(domain.NEXT_PAGE, sent):
        raise InvalidRequest(f"page_token is {clip(sent)!r}; send the next_page_token of a page.")
    return sent


def only_query(request: Request, *known: str) -> None:
    """Refuse a query parameter that the route does not know, or that came twice."""
    seen: set[str] = set()
    for key, _ in request.query_params.multi_items():
        if key not in known:
            hint = did_you_mean(key, known) or "."
            raise InvalidRequest(f"{clip(key)!r} is not a parameter of this route{hint}")
        if key in seen:
            raise InvalidRequest(f"{key} is there twice.")
        seen.add(key)


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Give a JSON reply."""
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
