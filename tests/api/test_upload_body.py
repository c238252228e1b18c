"""An upload is written to its file in parts, and never on the event loop's thread."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.requests import Request

from service.api.services import Services
from service.api.upload_body import receive_upload
from service.common.errors import BodyTooLarge
from service.training.uploads import Upload
from tests.support.server import settings_for


class FakeState:
    """Runs each write in a thread, and records the lengths of the parts."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_for(folder, max_upload_bytes=4 * 2**20)
        self.written: list[int] = []

    async def run(self, function: Any, part: bytes) -> Any:
        self.written.append(len(part))
        return await asyncio.to_thread(function, part)


def _receive(folder: Path, chunks: list[bytes]) -> tuple[Upload, FakeState]:
    async def parts() -> AsyncIterator[dict[str, Any]]:
        for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    stream = parts()
    headers = [(b"content-type", b"text/csv")]
    scope = {"type": "http", "method": "POST", "headers": headers, "query_string": b""}
    request = Request(scope, receive=cast(Any, stream.__anext__))
    upload, state = Upload(folder), FakeState(folder)
    asyncio.run(receive_upload(request, cast(Services, state), upload, ("text/csv",)))
    return upload, state


def test_a_body_is_written_in_parts_of_a_mebibyte(tmp_path: Path) -> None:
    chunks = [bytes([index % 251]) * 65_536 for index in range(40)]

    upload, state = _receive(tmp_path, chunks)

    assert upload.rows.read_bytes() == b"".join(chunks)
    assert state.written == [2**20, 2**20, 8 * 65_536]


def test_nothing_beyond_the_limit_is_written(tmp_path: Path) -> None:
    with pytest.raises(BodyTooLarge):
        _receive(tmp_path, [b"x" * 2**20] * 6)

    assert (tmp_path / "rows").stat().st_size <= 4 * 2**20
