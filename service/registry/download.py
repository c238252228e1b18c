"""Fetches a version's files within bounds, since other writers to MLflow may have put any there.

They are listed first, so that nothing is fetched if there are too many, and counted again as they
arrive.
"""

import os
import posixpath
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

_PART = 2**20
_BYTES_A_SECOND = 8 * 2**20
"""How fast an object store is at least, for a server that moves a large file to or from it."""


class NotFetchable(Exception):
    """The files cannot be fetched; the message is the reason."""


class Entry(NamedTuple):
    """A file or a folder of a version."""

    path: str
    size: int
    """In bytes, as listed."""
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a version may have."""

    entries: int = 1000
    size: int = 2 * 2**30
    """In bytes, of all files."""

    def check(self, entries: int, size: int) -> None:
        """Raise NotFetchable where there is more."""
        if entries > self.entries:
            raise NotFetchable(f"it has more than {self.entries:,} files and folders")
        if size > self.size:
            raise NotFetchable(f"its files have more than {self.size / 2**20:,.0f} MiB")


BOUNDS = Bounds()
"""The bounds of every version."""


class Source(Protocol):
    """Where the files are."""

    def entries(self) -> Iterator[Entry]:
        """Yield the entries; no more are listed than the caller takes."""

    def has(self, path: str) -> bool:
        """Return whether there is such a file."""

    def files_of(self, folder: str) -> Iterator[str]:
        """Yield the paths of the files of a folder, without those of folders in it."""

    def write(self, file: Path, folder: str) -> None:
        """Copy a file of this machine into a folder, in place of one of its name."""

    def read(self, path: str, _size: int = 0, /) -> Iterator[bytes]:
        """Yield a file in parts; the size is that of the file, in bytes, where it is known."""

    def delete(self, path: str) -> None:
        """Delete a file permanently, if it exists."""


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
            raise NotFetchable("one of its files is outside of its folder")
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
        """Yield files and folders; a link to a file is a file, one to a folder is not followed."""
        for parent, folders, files in os.walk(self._folder):
            below = Path(parent).relative_to(self._folder)
            for name in folders:
                yield Entry(str(below / name), 0, True)
            for name in files:
                path = Path(parent) / name
                if not path.is_file():
                    raise NotFetchable("one of its files is not a regular file")
                yield Entry(str(below / name), path.stat().st_size, False)

    def has(self, path: str) -> bool:
        """Return whether there is such a file."""
        return (self._folder / path).is_file()

    def files_of(self, folder: str) -> Iterator[str]:
        """Yield the paths of the files of a folder, without those of folders in it."""
        below = self._folder / folder
        for path in below.iterdir() if below.is_dir() else ():
            # A file that is being written, or was when the process was killed, has no name yet.
            if path.is_file() and not path.name.startswith("."):
                yield f"{folder}/{path.name}"

    def write(self, file: Path, folder: str) -> None:
        """Copy a file into a folder; it is there as a whole, or as it was."""
        below = self._folder / folder
        below.mkdir(parents=True, exist_ok=True)
        unfinished = below / f".{file.name}"
        shutil.copyfile(file, unfinished)
        unfinished.replace(below / file.name)

    def read(self, path: str, _size: int = 0, /) -> Iterator[bytes]:
        """Yield a file in parts."""
        with (self._folder / path).open("rb") as file:
            while part := file.read(_PART):
                yield part

    def delete(self, path: str) -> None:
        """Delete a file permanently, if it exists."""
        (self._folder / path).unlink(missing_ok=True)


class ServerSource:
    """Files behind an MLflow server."""

    def __init__(self, repository: Any) -> None:
        self._repository = repository

    def entries(self) -> Iterator[Entry]:
        """Yield files and folders, with one call for each folder."""
        folders: list[str | None] = [None]
        while folders:
            folder = folders.pop()
            for item in self._repository.list_artifacts(folder):
                if item.is_dir and item.path not in (".", folder):
                    folders.append(item.path)
                yield Entry(item.path, item.file_size or 0, item.is_dir)

    def has(self, path: str) -> bool:
        """Return whether there is such a file."""
        return path in self.files_of(posixpath.dirname(path))

    def files_of(self, folder: str) -> Iterator[str]:
        """Yield the paths of the files of a folder, without those of folders in it."""
        for item in self._repository.list_artifacts(folder or None):
            if not item.is_dir:
                yield item.path

    def write(self, file: Path, folder: str) -> None:
        """Copy a file of this machine into a folder, in place of one of its name, as it is read."""
        path = posixpath.join(folder, file.name)
        with file.open("rb") as data:
            size = os.fstat(data.fileno()).st_size
            # An empty body that is a file would be sent in chunks.
            with self._request(path, "PUT", size, data=data if size else b""):
                pass

    def read(self, path: str, size: int = 0, /) -> Iterator[bytes]:
        """Yield a file in parts, as they arrive."""
        with self._request(path, "GET", size, stream=True) as answer:
            yield from answer.iter_content(_PART)

    @contextmanager
    def _request(self, path: str, method: str, size: int, **more: Any) -> Iterator[Any]:
        """Make a request that moves `size` bytes.

        A server in front of an object store first takes or fetches all of them.
        """
        from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.request_utils import augmented_raise_for_status
        from mlflow.utils.rest_utils import http_request

        credentials = get_default_host_creds(self._repository.artifact_uri)
        seconds = MLFLOW_HTTP_REQUEST_TIMEOUT.get() + size / _BYTES_A_SECOND
        with http_request(credentials, f"/{path}", method, timeout=seconds, **more) as answer:
            augmented_raise_for_status(answer)
            yield answer

    def delete(self, path: str) -> None:
        """Delete a file permanently, if it exists."""
        self._repository.delete_artifacts(path)
