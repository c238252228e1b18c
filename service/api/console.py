"""The console: pages for people, which are files alone, served with a strict policy."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from service.api.compression import accepts_gzip

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).resolve().parent.parent / "console"

_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served; licences and checksums, which have other endings, are not."""

HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Kept, and asked for anew each time: the modules of two releases are never mixed.
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}


@dataclass(frozen=True, slots=True)
class _File:
    media_type: str
    body: bytes
    packed: bytes
    """The body in gzip."""
    digest: str


@router.get("/")
async def console(request: Request) -> Response:
    """Return the page that loads all others."""
    return page(request, "index.html")


@router.get("/console/{path:path}")
async def console_file(request: Request, path: str) -> Response:
    """Return a file of the console; 404 for anything else."""
    return page(request, path)


def page(request: Request, path: str) -> Response:
    """Return a file, or 304 where the browser has it already."""
    file = _files().get(path)
    if file is None:
        raise HTTPException(404)
    packed = accepts_gzip(request.headers.get("accept-encoding", "").encode("latin-1"))
    # A compressed body is another representation, with a tag of its own.
    tag = f'"{file.digest}{"-gzip" if packed else ""}"'
    headers = {**HEADERS, "etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if packed:
        headers["content-encoding"] = "gzip"
    body = file.packed if packed else file.body
    return Response(body, media_type=file.media_type, headers=headers)


@cache
def _files() -> Mapping[str, _File]:
    """Read the folder when the first page is asked for; a service that nobody looks at does not."""
    return dict(_read())


def _read() -> Iterator[tuple[str, _File]]:
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:32]
            packed = gzip.compress(body, 9, mtime=0)
            yield (
                path.relative_to(FOLDER).as_posix(),
                _File(_TYPES[path.suffix], body, packed, digest),
            )
