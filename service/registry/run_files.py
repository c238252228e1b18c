"""Files of a training's run in MLflow."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service.common.errors import RegistryUnavailable, TrainingNotFound
from service.registry.connection import RegistryPart
from service.registry.download import BOUNDS, NotFetchable, Source, download


class MlflowRunFiles(RegistryPart):
    """The port `RunFiles` over one connection."""

    def read_file(self, identifier: str, path: str, most: int) -> bytes | None:
        """Return up to `most` bytes of a file; None where there is none.

        Raises TrainingNotFound. The file is looked up before it is read: in front of some object
        stores MLflow answers 500 for one that is not there.
        """
        with self._source(identifier) as source:
            try:
                if source is None or not source.has(path):
                    return None
                read = bytearray()
                for part in source.read(path):
                    read += part
                    if len(read) >= most:
                        break
            except NotFetchable:
                return None
        return bytes(read[:most])

    def list_files(self, identifier: str, folder: str) -> Sequence[str]:
        """Return the paths of the files of a folder; none where there is no such folder.

        Raises TrainingNotFound.
        """
        with self._source(identifier) as source:
            return [] if source is None else list(source.files_of(folder))

    def write_file(self, identifier: str, path: str, data: bytes) -> None:
        """Write a file, in place of one of that path; raises TrainingNotFound."""
        with self._source(identifier) as source, tempfile.TemporaryDirectory() as folder:
            if source is not None:
                file = Path(folder) / Path(path).name
                file.write_bytes(data)
                source.write(file, str(Path(path).parent))

    def delete_file(self, identifier: str, path: str) -> None:
        """Delete a file permanently, if it exists; raises TrainingNotFound."""
        with self._source(identifier) as source:
            if source is not None:
                source.delete(path)

    def store_folder(self, identifier: str, folder: Path, path: str) -> None:
        """Write the files of a local folder, and of those in it, below `path`.

        Raises TrainingNotFound.
        """
        self._connection.reach_storage()
        with self._connection.calls(TrainingNotFound(identifier)):
            self._client.log_artifacts(identifier, str(folder), path)

    def fetch_folder(self, identifier: str, path: str, folder: Path) -> None:
        """Copy the files below `path` to a local folder; raises TrainingNotFound.

        Raises RegistryUnavailable where MLflow does not store them itself, or not as they were.
        """
        with self._source(identifier, path) as source:
            try:
                if source is None:
                    raise NotFetchable("its artifacts lie outside of MLflow's own storage")
                download(source, folder, BOUNDS)
            except NotFetchable as error:
                raise RegistryUnavailable(
                    f"The files of a training cannot be read: {error}."
                ) from error

    @contextmanager
    def _source(self, identifier: str, path: str = "") -> Iterator[Source | None]:
        """Open the files of a run for the block; yield None if MLflow does not store them itself.

        `path`: the folder that they are below. Raises TrainingNotFound.
        """
        if not re.fullmatch(r"[0-9a-f]{32}", identifier):
            raise TrainingNotFound(identifier)
        self._connection.reach_storage()
        with self._connection.calls(TrainingNotFound(identifier)):
            location = self._client.get_run(identifier).info.artifact_uri
            try:
                below = f"{location}/{path}" if path else location
                source: Source | None = self._connection.source(below)
            except NotFetchable:
                source = None
            yield source
