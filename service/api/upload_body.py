"""An uploaded body, written to a folder as it streams, at most up to the limit."""

import re
from collections.abc import AsyncIterator
from pathlib import PurePath

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.api.request_body import capped, media_type
from service.api.services import Services
from service.common.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType, clip
from service.training.uploads import Media, Upload

MEDIA: dict[str, Media] = {
    "application/json": "json",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}
FORM = "multipart/form-data"

_MOST_FIELDS = 100
_LARGEST_FIELD = 1024 * 1024
_PART = 1024 * 1024


async def receive_upload(
    request: Request, services: Services, upload: Upload, accepted: tuple[str, ...]
) -> None:
    """Write the body of a request to the folder of an upload."""
    kind = _kind(request, accepted)
    await _receive(kind, request, services, upload, "")


async def receive_data_set(request: Request, services: Services, upload: Upload) -> None:
    """Write the body of a request, whose rows are a data set, to the folder of an upload.

    A CSV or Parquet file that is the body as it is may be large, one at a time; the caller gives
    `services.large_upload` free in the end. JSON is read as a whole, and a form is written twice.
    """
    kind = _kind(request, (*MEDIA, FORM))
    small, large = services.settings.max_upload_bytes, services.settings.largest_data_set
    if kind in (FORM, "application/json"):
        advice = f"send the file itself, as CSV or Parquet, of up to {large:,} bytes"
        await _receive(kind, request, services, upload, advice if large > small else "")
        return
    upload.media = MEDIA[kind]
    await _write(_one_at_a_time(capped(request, large), services, upload), services, upload)


async def _one_at_a_time(
    stream: AsyncIterator[bytes], services: Services, upload: Upload
) -> AsyncIterator[bytes]:
    """Yield a body; raises LargeUploadUnderWay where it is large, and another is, too."""
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if size > services.settings.max_upload_bytes:
            services.large_upload.take(upload)
        yield chunk


def _kind(request: Request, accepted: tuple[str, ...]) -> str:
    kind = media_type(request)
    if kind not in accepted:
        raise UnsupportedMediaType(clip(kind), accepted)
    return kind


async def _receive(
    kind: str, request: Request, services: Services, upload: Upload, advice: str
) -> None:
    stream = capped(request, services.settings.max_upload_bytes, advice)
    if kind == FORM:
        await _receive_form(request, stream, services, upload)
        return
    upload.media = MEDIA[kind]
    await _write(stream, services, upload)


async def receive_rows(
    request: Request, services: Services, upload: Upload, limit: int | None = None
) -> None:
    """Write the body of a request to the folder of an upload, whatever it is.

    `limit` is the most bytes that it may have; without it, what the settings allow for a file.
    """
    most = services.settings.max_upload_bytes if limit is None else limit
    await _write(capped(request, most), services, upload)


async def _write(stream: AsyncIterator[bytes], services: Services, upload: Upload) -> None:
    with upload.rows.open("wb") as file:
        async for part in _gathered(stream):
            await services.run(file.write, part)


async def _gathered(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the stream in parts that are large enough to be worth a thread."""
    part = bytearray()
    async for chunk in stream:
        part += chunk
        if len(part) >= _PART:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)


async def _receive_form(
    request: Request, stream: AsyncIterator[bytes], services: Services, upload: Upload
) -> None:
    """Read a form of one file and some fields; a truncated form is refused."""
    found = re.search(r'boundary="?([^";,\s]+)', request.headers["content-type"])
    if found is None:
        raise InvalidRequest("The multipart form names no boundary.")
    end = b"--" + found.group(1).encode("latin-1") + b"--"
    tail = b""

    failure: Exception | None = None

    async def watched() -> AsyncIterator[bytes]:
        # The parser closes its files only on its own kind of error.
        nonlocal tail, failure
        try:
            async for chunk in stream:
                tail = (tail + chunk)[-len(end) - 64 :]
                yield chunk
        except (BodyTooLarge, ClientDisconnect) as error:
            failure = error
            raise MultiPartException("the body did not come whole") from error
        if end not in tail:
            raise MultiPartException("it is cut off: the last boundary is missing")

    # The parser writes a file of more than 1 MiB in threads, and keeps a smaller one in memory.
    parser = MultiPartParser(
        request.headers,
        watched(),  # type: ignore[arg-type]
        max_files=1,
        max_fields=_MOST_FIELDS,
        max_part_size=_LARGEST_FIELD,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if failure is not None:
            raise failure from error
        raise InvalidRequest(
            f"The multipart form is not readable: {clip(error.message, 120)}."
        ) from error
    upload.form = True
    try:
        for key, value in form.multi_items():
            if isinstance(value, UploadFile):
                if key != "file":
                    raise InvalidRequest(
                        f"The form's file must be called 'file', not {clip(key)!r}."
                    )
                await services.run(_copy, value, upload)
            elif key in upload.fields:
                raise InvalidRequest(f"The field {clip(key)!r} is there twice.")
            else:
                upload.fields[key] = value
    finally:
        await form.close()


def _copy(file: UploadFile, upload: Upload) -> None:
    with upload.rows.open("wb") as target:
        while chunk := file.file.read(1024 * 1024):
            target.write(chunk)
    upload.has_file = True
    upload.media = "csv"
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePath(file.filename or "").stem).strip("-.")
    upload.file_name = stem[:128] or None
