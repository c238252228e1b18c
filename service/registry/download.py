"""A version's files, fetched within bounds: whoever writes to MLflow may have put anything there.

They are listed first, so that nothing of too much is fetched, and counted again as they arrive.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

_PART = 2**20


class NotFetchable(Exception):
    """The files are not to be had; its text is the reason."""


class Entry(NamedTuple):
    """A file or a folder below a version's own."""

    path: str
    size: int
    """In bytes, as it is told."""
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a version may have."""

    entries: int = 1000
    size: int = 2 * 2**30
    """In bytes, of all files."""

    def check(self, entries: int, size: int) -> None:
        """Raise NotFetchable where it is more."""
        if entries > self.entries:
            raise NotFetchable(f"it has more than {self.entries:,} files and folders")
        if size > self.size:
            raise NotFetchable(f"its files have more than {self.size / 2**20:,.0f} MiB")


BOUNDS = Bounds()
"""What is fetched of any version."""


class Source(Protocol):
    """Where the files are."""

    def entries(self) -> Iterator[Entry]:
        """Give whatever is there, and no more than is asked for."""

    def read(self, path: str) -> Iterator[bytes]:
        """Give a file in parts."""

    def delete(self, path: str) -> None:
        """Delete a file for good, if it is there."""


def download(source: Source, folder: Path, bounds: Bounds) -> None:
    """Fetch all files to `folder`; raises NotFetchable where `bounds` do not allow it."""
    files, listed, size = [], 0, 0
    for entry in source.entries():
        listed, size = listed + 1, size + entry.size
        bounds.check(listed, size)
        if not entry.is_folder:
            files.append(entry.path)
    size, inside = 0, folder.resolve()
    for path in files:
        target = (inside / path).resolve()
        if not target.is_relative_to(inside):
            raise NotFetchable("a file of it leads outside of it")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for part in source.read(path):
                size += len(part)
                bounds.check(listed, size)
                file.write(part)


class FolderSource:
    """Files on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> Iterator[Entry]:
        """Give files and folders; a link to a file is that file, and one to a folder is none."""
        for at, folders, files in os.walk(self._folder):
            below = Path(at).relative_to(self._folder)
            for name in folders:
                yield Entry(str(below / name), 0, True)
            for name in files:
                found = Path(at) / name
                if not found.is_file():
                    raise NotFetchable("a file of it is no regular one")
                yield Entry(str(below / name), found.stat().st_size, False)

    def read(self, path: str) -> Iterator[bytes]:
        """Give a file in parts."""
        with (self._folder / path).open("rb") as file:
            while part := file.read(_PART):
                yield part

    def delete(self, path: str) -> None:
        """Delete a file for good, if it is there."""
        (self._folder / path).unlink(missing_ok=True)


class ServerSource:
    """Files behind an MLflow server."""

    def __init__(self, repository: Any) -> None:
        self._repository = repository

    def entries(self) -> Iterator[Entry]:
        """Give files and folders, a question for each folder."""
        folders: list[str | None] = [None]
        while folders:
            at = folders.pop()
            for item in self._repository.list_artifacts(at):
                if item.is_dir and item.path not in (".", at):
                    folders.append(item.path)
                yield Entry(item.path, item.file_size or 0, item.is_dir)

    def read(self, path: str) -> Iterator[bytes]:
        """Give a file in parts, as they come."""
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.request_utils import augmented_raise_for_status
        from mlflow.utils.rest_utils import http_request

        place = get_default_host_creds(self._repository.artifact_uri)
        with http_request(place, f"/{path}", "GET", stream=True) as answer:
            augmented_raise_for_status(answer)
            yield from answer.iter_content(_PART)

    def delete(self, path: str) -> None:
        """Delete a file for good, if it is there."""
        self._repository.delete_artifacts(path)
