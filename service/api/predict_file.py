"""`POST /predict` with a file of rows: CSV, Parquet, an Arrow stream; the reply follows Accept."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from service.api.request_body import csv_encoding
from service.api.services import services_of
from service.api.upload_body import receive_rows
from service.api.written import Written
from service.common.domain import RowsMedia
from service.common.errors import ClientGone, InvalidRequest, Problem, clip
from service.serving.file_predictions import Deadline, Form
from service.serving.predictor import Predictor

T = TypeVar("T")

MEDIA: Mapping[bytes, RowsMedia] = {
    b"text/csv": "csv",
    b"application/vnd.apache.parquet": "parquet",
    b"application/x-parquet": "parquet",
    b"application/vnd.apache.arrow.stream": "arrow",
}

_FORMS: Mapping[str, Form] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/vnd.apache.arrow.stream": "arrow",
}
_TYPES: Mapping[Form, bytes] = {
    "json": b"application/json",
    "scoring": b"application/json",
    "csv": b"text/csv; charset=utf-8",
    "arrow": b"application/vnd.apache.arrow.stream",
}


async def answer(
    request: Request,
    predictor: Predictor,
    media: RowsMedia,
    probabilities: bool,
    form: Form | None = None,
) -> tuple[Written, int]:
    """Return the reply to a file of rows, and the number of rows.

    Without `form` the client chooses it by `Accept`.
    """
    services = services_of(request)
    form = form or _form(request.headers.get("accept", ""))
    encoding = csv_encoding(request)
    with services.file_predictions.admit():
        upload = await services.run(services.uploads.open)
        try:
            await receive_rows(request, services, upload)
            deadline = Deadline()
            answering = services.run(
                services.file_predictions.answer,
                predictor,
                upload.folder,
                media,
                probabilities,
                form,
                deadline,
                encoding,
            )
            reply, rows = await _unless_disconnected(request, answering, deadline)
        except ClientDisconnect as error:
            raise ClientGone from error
        finally:
            await services.run(services.uploads.close, upload)
    return Written(reply, ((b"content-type", _TYPES[form]),)), rows


async def _unless_disconnected(
    request: Request, answering: Coroutine[Any, Any, T], deadline: Deadline
) -> T:
    """Return the answer; end the work early if the client disconnects first."""
    work = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(request.receive())  # after the body, only that can come
    try:
        await asyncio.wait((work, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            deadline.client_left = True
        return await work
    finally:
        leaving.cancel()


def asked_for(query: bytes) -> bool:
    """Read `?probabilities=true`; raises InvalidRequest on anything else."""
    asked: bool | None = None
    for key, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if key != "probabilities":
            message = f"?{clip(key, 40)}= is not a parameter of /predict; there is ?probabilities="
            raise InvalidRequest(f"{message}.", [Problem("", message)])
        if value not in ("true", "false"):
            message = "?probabilities= must be true or false"
            raise InvalidRequest(f"{message}.", [Problem("", message)])
        if asked is not None:
            raise InvalidRequest("?probabilities= is there twice.")
        asked = value == "true"
    return asked is True


def _form(accept: str) -> Form:
    """Return the first format that the client accepts; JSON if it names none of them."""
    for part in accept.split(","):
        form = _FORMS.get(part.split(";")[0].strip().lower())
        if form is not None:
            return form
    return "json"
