"""What this replica served last, on its own disk: for a restart while MLflow is away."""

import logging
import os
from dataclasses import asdict
from pathlib import Path

import msgspec
import orjson

from service.common.domain import Use, Version

logger = logging.getLogger(__name__)


class LastServed:
    """A small file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, use: Use, version: Version) -> None:
        """Keep what is served now; a disk that does not take it costs only that restart."""
        kept = orjson.dumps({"use": asdict(use), "version": asdict(version)})
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(kept)
            os.replace(new, self._path)
        except OSError as error:
            logger.warning("what is in use is not kept for a restart: %s", error.strerror)

    def read(self) -> tuple[Use, Version] | None:
        """Give what was served last, or None where nothing is there that can be read."""
        try:
            kept = orjson.loads(self._path.read_bytes())
            return msgspec.convert(kept["use"], Use), msgspec.convert(kept["version"], Version)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("what was in use before the restart cannot be read: %s", error)
            return None
