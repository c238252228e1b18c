"""What this replica served last, on its own disk, for a restart while MLflow is down."""

import logging
import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import orjson

from service.common.domain import Use, Version

logger = logging.getLogger(__name__)


class Served(NamedTuple):
    """An entry of the log of use with its versions, as MLflow has them."""

    use: Use
    version: Version
    second: Version | None = None


class LastServed:
    """A small file that is replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, served: Served) -> None:
        """Keep what is served now; if the disk refuses it, only such a restart fails."""
        content = orjson.dumps(served._asdict())
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(content)
            os.replace(new, self._path)
        except OSError as error:
            logger.warning("the version in use cannot be kept for a restart: %s", error.strerror)

    def read(self) -> Served | None:
        """Return what was served last, or None where no readable file exists."""
        try:
            content = orjson.loads(self._path.read_bytes())
            use = msgspec.convert(content["use"], Use)
            version = msgspec.convert(content["version"], Version)
            second = msgspec.convert(content.get("second"), Version | None)
            return Served(use, version, second)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the version in use before the restart cannot be read: %s", error)
            return None
