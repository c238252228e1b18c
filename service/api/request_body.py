"""JSON bodies read strictly, in front of pydantic; and what is said of a request that is wrong."""

import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from email.message import Message
from typing import Any, get_args

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from service.api.content_headers import check_charset, check_encoding, declared_bytes
from service.api.services import services_of
from service.common.did_you_mean import did_you_mean
from service.common.errors import (
    BodyTooLarge,
    InvalidRequest,
    Problem,
    UnsupportedMediaType,
    clip,
    pointer_to,
)
from service.schema import strict_json
from service.schema.explanation import MOST
from service.schema.file_options import codec_of

_LARGEST_BODY = 64 * 1024
"""Bytes of a body that names things and holds no rows: it is parsed on the event loop."""


def media_type(request: Request) -> str:
    """Return the content type without its parameters.

    Raises UnsupportedMediaType for an encoding, and for JSON in another charset than UTF-8.
    """
    check_encoding(request.headers.get("content-encoding", ""))
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    check_charset(kind, parameters)
    return kind


def csv_encoding(request: Request) -> str:
    """Return the encoding of a CSV body by its Content-Type; raises UnsupportedMediaType."""
    message = Message()
    message["content-type"] = request.headers.get("content-type", "")
    charset = message.get_param("charset")
    if not isinstance(charset, str) or not charset:
        return "utf-8"
    try:
        return codec_of(charset)
    except ValueError:
        raise UnsupportedMediaType(f"CSV in {clip(charset)!r}", ["CSV in UTF-8"]) from None


async def capped(request: Request, limit: int, advice: str = "") -> AsyncIterator[bytes]:
    """Yield a body as it arrives; raises BodyTooLarge, with `advice`, beyond `limit` bytes."""
    if declared_bytes(request.headers.get("content-length", "").encode("latin-1")) > limit:
        raise BodyTooLarge("The body", limit, "bytes", advice)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge("The body", limit, "bytes", advice)
        yield chunk


class _ParsedRequest(Request):
    """A request whose body was read and parsed; FastAPI gets it from here."""

    parsed: tuple[bytes, Any]

    async def body(self) -> bytes:
        return self.parsed[0]

    async def json(self) -> Any:
        return self.parsed[1]


class StrictJsonRoute(APIRoute):
    """A route whose body is a small JSON object, parsed strictly before pydantic checks it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler: as FastAPI's, behind the strict parser."""
        handle = super().get_route_handler()

        async def parse_and_handle(request: Request) -> Response:
            if self.body_field is None:
                return await handle(request)
            parsed = _ParsedRequest(request.scope, request.receive)
            parsed.parsed = await _read(request)
            return await handle(parsed)

        return parse_and_handle


async def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body that may be empty, and may come without a type.

    It may come as bytes, too, as aiohttp calls any text.
    """
    kind = media_type(request)
    if kind not in ("", "application/json", "application/octet-stream"):
        raise UnsupportedMediaType(clip(kind), ["application/json"])
    body, value = await _parse(request, may_be_empty=True)
    return dict(value) if body else {}


async def _read(request: Request) -> tuple[bytes, Any]:
    kind = media_type(request)
    if kind != "application/json":
        raise UnsupportedMediaType(clip(kind), ["application/json"])
    return await _parse(request)


async def _parse(request: Request, may_be_empty: bool = False) -> tuple[bytes, Any]:
    settings = services_of(request).settings
    limit = min(_LARGEST_BODY, settings.max_body_bytes)
    body = b"".join([chunk async for chunk in capped(request, limit)])
    if may_be_empty and not body:
        return body, None
    value = strict_json.parse(body, settings.max_json_depth)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.", [Problem("", "must be an object")])
    return body, value


def invalid_request(error: RequestValidationError, route: APIRoute) -> InvalidRequest:
    """Return the service's error for what pydantic found wrong with a request to a route."""
    problems: list[Problem] = []
    for item in list(error.errors())[:MOST]:
        where, *path = item["loc"]
        field = route.body_field
        body: type[BaseModel] | None = field and field.field_info.annotation  # type: ignore[assignment]
        message = _message(item["type"], item["msg"], path, body)
        if where != "body":
            return InvalidRequest(_sentence(f"The {_WHERE[str(where)]} {path[0]} {message}"))
        problems.append(Problem(pointer_to(path), message))
    return _refusal(problems)


def invalid_body(error: ValidationError, body: type[BaseModel]) -> InvalidRequest:
    """Return the service's error for what pydantic found wrong with a body of this model."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return _refusal(
        [
            Problem(
                pointer_to(item["loc"]),
                _message(item["type"], item["msg"], item["loc"], body),
            )
            for item in found[:MOST]
        ]
    )


def _refusal(problems: list[Problem]) -> InvalidRequest:
    first = problems[0]
    return InvalidRequest(_sentence(f"{first.pointer} {first.message}".lstrip()), problems)


_WHERE = {"query": "parameter", "path": "parameter", "header": "header"}


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _message(
    kind: str, message: str, path: Sequence[int | str], body: type[BaseModel] | None
) -> str:
    if kind == "extra_forbidden" and body is not None:
        return f"is not a key of this request{did_you_mean(str(path[-1]), _keys(body, path[:-1]))}"
    if kind == "missing":
        return "is missing"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "should be an object"
    message = message.removeprefix("Value error, ")
    return _SUBJECT.sub("should", message)


def _keys(body: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Return the keys of the object at this path, or those of the body where it is in a union."""
    model = body
    for key in path:
        field = model.model_fields.get(str(key))
        types = () if field is None else (field.annotation, *get_args(field.annotation))
        models = [one for one in types if isinstance(one, type) and issubclass(one, BaseModel)]
        model = models[0] if models else body
    return [field.alias or name for name, field in model.model_fields.items()]


_SUBJECT = re.compile(r"^(Input|String|Value) should")
